from __future__ import annotations

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distill.benchmark.quality import MAIN, quality_of
from distill.benchmark.table import SpeedTable
from distill.benchmark.tensorboard import write_runs, write_stream_runs
from tests.benchmark.tables import a_speed_table, a_stream_table


def cells(table: str, *words: str) -> dict[str, str]:
    """Return the line of a table that begins with these words, by column."""
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line[:1] == "|"]
    found = [line for line in lines if line[: len(words)] == list(words)]
    return dict(zip(lines[0], found[0], strict=False))


def test_every_column_of_the_table_is_there():
    table = a_speed_table().to_markdown()
    assert cells(table, "student", "onnx", "cpu", "4") == {
        "model": "student",
        "backend": "onnx",
        "device": "cpu",
        "batch": "4",
        "samples/s": "8",
        "sites/s": "24",
        "ms per batch (min-max)": "500 (400-600)",
        "x teacher plain": "16",
        "x teacher incremental": "4",
        "FLOP a sample": "100",
        "of GEMM": "8 %",
        "of copy": "20 %",
        "MB": "1.5",
        "STFT": "1.25",
        "rounds": "-",
    }
    vocos = cells(table, "vocos", "24kHz")
    assert (vocos["rounds"], vocos["of GEMM"], vocos["STFT"]) == ("7", "-", "-")
    assert vocos["x teacher plain"] == "16"  # by sites: its values are twice as long
    assert len({line.count("|") for line in table.splitlines()[2:]}) == 1


def test_the_table_states_what_was_measured_on():
    head = a_speed_table().to_markdown().splitlines()[0]
    assert head.startswith("3 sites a sample; a | b, threads 2, float32, device cpu;")
    assert "GEMM 10 kFLOP/s, copy 2 kB/s" in head
    assert a_stream_table().to_markdown().startswith("a | b, threads 2, float32, device cpu;")
    facts = a_speed_table().report().tables["environment"]
    assert "| roofs of cpu | GEMM 10 kFLOP/s, copy 2 kB/s |" in facts
    assert "| dtype | float32 |" in facts


def test_the_report_says_which_baseline_each_ratio_has():
    report = a_speed_table().report()
    assert report.scalars["speed/student-onnx/samples_per_second/batch_8"] == 10
    assert report.scalars["speed/student-onnx/gemm_share/batch_4"] == pytest.approx(0.08)
    assert report.scalars["speed/vocos-24kHz/rounds/batch_4"] == 7
    assert report.scalars["speedup/student-onnx/over_teacher_plain/batch_4"] == 16
    assert report.scalars["speedup/student-onnx/over_teacher_incremental/batch_4"] == 4
    assert not [name for name in report.scalars if "speedup" in name and "batch_8" in name]
    axis = report.figures["speed"].axes[0]
    assert axis.get_yscale() == "log"
    assert sorted(bar.get_height() for bar in axis.patches) == [0.5, 2, 4, 8, 10]
    assert [bool(bar.get_hatch()) for bar in axis.patches] == [True, True, False, False, False]


def test_a_stream_has_milliseconds_shares_and_quality():
    report = a_stream_table().report()
    where = "stream/student-onnx/{}/chunk_20_ms"
    assert report.scalars[where.format("latency_p50_ms")] == pytest.approx(2.0)
    assert report.scalars[where.format("latency_p99_ms")] == pytest.approx(3.94)
    assert report.scalars[where.format("real_time_factor")] == pytest.approx(8.0)
    assert report.scalars[where.format("gemm_share")] == pytest.approx(0.8)
    line = cells(report.tables["stream"], "student", "onnx")
    assert line == {
        "model": "student",
        "backend": "onnx",
        "chunk": "20.0 ms",
        "p50": "2.00 ms",
        "p99": "3.94 ms",
        "x real time": "8.00",
        "chunks": "4",
        "error": "1.0e-07",
        "FLOP a sample": "0.1",
        "of GEMM": "80 %",
        "of copy": "10 %",
        "MB": "1.5",
        "load": "0.05 s",
        "STFT": "1.25",
    }
    assert "another / torch" in report.tables["stream"]
    axis = report.figures["stream"].axes[0]
    assert [drawn.get_label() for drawn in axis.lines] == ["student-onnx", "real time"]


def test_tensorboard_gets_one_run_per_model_and_backend(tmp_path):
    paths = write_runs(a_speed_table(), tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "speed/teacher-plain",
        "speed/teacher-incremental",
        "speed/student-onnx",
        "speed/student-compiled",
        "speed/vocos-24kHz",
    ]
    events = EventAccumulator(str(tmp_path / "speed" / "student-onnx"))
    events.Reload()
    scalars = events.Scalars("samples_per_second")
    assert [(event.step, event.value) for event in scalars] == [(4, 8.0), (8, 10.0)]
    assert events.Scalars("gemm_share")[0].value == pytest.approx(0.08)
    assert events.Scalars("best_samples_per_second")[0].value == 10.0
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    assert "_hparams_/session_start_info" in events.summary_metadata
    silent = EventAccumulator(str(tmp_path / "speed" / "student-compiled"))
    silent.Reload()
    assert "notes/text_summary" in silent.Tags()["tensors"]


def test_tensorboard_has_streams_over_the_length_of_a_chunk(tmp_path):
    onnx, aoti = write_stream_runs(a_stream_table(), tmp_path)
    events = EventAccumulator(str(onnx)).Reload()
    assert [e.step for e in events.Scalars("latency_p99_ms")] == [20]
    assert events.Scalars("best_real_time_factor")[0].value == pytest.approx(8.0)
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    assert "notes/text_summary" in EventAccumulator(str(aoti)).Reload().Tags()["tensors"]


def test_quality_stands_beside_full_precision_only():
    metrics = {"student/stft": 1.0, "teacher/held_out_nll": None, "teacher/stft": 2.0}
    names = ["student-onnx", "student-int8.onnx", "teacher-plain", "vocos-24kHz"]
    assert quality_of(names, metrics, reduced=["student-int8.onnx"]) == {
        "student-onnx": {"STFT": 1.0},
        "teacher-plain": {"STFT": 2.0},
    }
    assert len(set(MAIN.values())) == len(MAIN)


def test_a_table_of_nothing_is_drawn_all_the_same():
    assert (
        SpeedTable({}, sites=2).report().figures["speed"].axes[0].get_ylabel()
        == "samples per second"
    )
