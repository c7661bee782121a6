from __future__ import annotations

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distill.contract import DataSpec
from distill.evaluation.evaluator import Report
from distill.evaluation.speed import cut, sites_of
from distill.evaluation.speed_runs import write_stream_runs
from distill.evaluation.stream_speed import benchmark_streams
from distill.evaluation.stream_table import StreamRow, StreamTable
from distill.export import PT2
from distill.models import iaf
from tests.export.students import CASES, MEL, SPEAKER, features_of


def a_table() -> StreamTable:
    times = {"chunk": 0.02, "p50": 0.002, "p99": 0.004, "factor": 9.0, "error": 1e-7}
    return StreamTable(
        {"CPU": "a CPU", "threads": "2"},
        [
            StreamRow("student", "onnx", **times, megabytes=1.5, load=0.05),
            StreamRow("student", "aoti", note="unavailable: another | torch"),
        ],
    )


def test_every_file_and_the_eager_student_have_a_row_for_each_chunk(tmp_path):
    flow = CASES["speakers"]()
    file = PT2().write(flow, tmp_path / "student.pt2")
    table = benchmark_streams(flow, [file], [0.001, 0.004], seconds=0.01)
    assert {name: [row.milliseconds for row in rows] for name, rows in table.runs().items()} == {
        "student-eager": [1, 4],
        "student-pt2": [1, 4],
    }
    for row in table.rows:
        assert not row.note
        assert row.chunks == 30
        assert row.error < 1e-5
        assert 0 < row.p50 <= row.p99
    eager, pt2 = table.runs().values()
    assert eager[0].megabytes is None
    assert pt2[0].megabytes == file.stat().st_size / 1e6


def test_features_may_be_given_and_what_is_off_has_a_large_error(tmp_path, monkeypatch):
    flow = CASES["repeat, no layers"]()
    features = {name: value[None] for name, value in features_of(flow, 8).items()}
    (row,) = benchmark_streams(flow, [], [0.001], 0.01, "tiny", features).rows
    assert row.name == "tiny-eager"
    assert row.error < 1e-5
    drawn = flow.run
    monkeypatch.setattr(
        type(flow), "run", lambda self, state, *rest: drawn(flow.begin(rest[0], rest[1]), *rest)
    )
    (forgetful,) = benchmark_streams(flow, [], [0.001], 0.01, "tiny", features).rows
    assert forgetful.error > 1e-3


def test_a_file_that_cannot_be_loaded_has_a_row_with_the_reason(tmp_path):
    (tmp_path / "student.onnx").write_bytes(b"nothing")
    table = benchmark_streams(CASES["unconditional"](), [tmp_path / "student.onnx"], [0.01], 0.01)
    assert [row.note[:11] for row in table.rows] == ["", "unavailable"]
    assert "unavailable" in table.to_markdown()


def test_values_of_fixed_sites_have_an_empty_table_and_report():
    table = benchmark_streams(iaf(DataSpec(sites=2), 1, [4]), [])
    assert table.rows == []
    report = table.report()
    assert report == Report()


@pytest.mark.parametrize(("chunks", "seconds"), [([], 1.0), ([0.0], 1.0), ([0.02], 0.0)])
def test_bad_settings_are_refused(chunks, seconds):
    with pytest.raises(ValueError, match="chunks and seconds > 0"):
        benchmark_streams(CASES["unconditional"](), [], chunks, seconds)


def test_the_report_has_milliseconds_and_a_table():
    report = a_table().report()
    assert report.scalars == {
        "stream/student-onnx/latency_p50_ms/chunk_20_ms": 2.0,
        "stream/student-onnx/latency_p99_ms/chunk_20_ms": 4.0,
        "stream/student-onnx/real_time_factor/chunk_20_ms": 9.0,
        "stream/student-onnx/error/chunk_20_ms": 1e-7,
    }
    lines = report.tables["stream"].splitlines()
    cells = "20.0 ms | 2.00 ms | 4.00 ms | 9.00 | 1.0e-07 | 1.50 MB | 0.05 s |"
    assert f"| student | onnx | {cells}" in lines[2]
    assert "another / torch" in lines[3]
    assert len({line.count("|") for line in lines}) == 1
    axis = report.figures["stream"].axes[0]
    assert [line.get_label() for line in axis.lines] == ["student-onnx", "real time"]


def test_tensorboard_gets_one_run_per_backend(tmp_path):
    onnx, aoti = write_stream_runs(a_table(), tmp_path)
    events = EventAccumulator(str(onnx)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("latency_p99_ms")] == [(20, 4.0)]
    assert events.Scalars("best_real_time_factor")[0].value == 9.0
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    assert "notes/text_summary" in EventAccumulator(str(aoti)).Reload().Tags()["tensors"]


def test_features_are_cut_to_the_sites_that_are_drawn():
    spec = DataSpec(None, features={"mel": MEL, "speaker": SPEAKER}, sample_rate=90, hop=4)
    assert sites_of(spec) == 92
    assert sites_of(spec, 5) == 8
    assert sites_of(DataSpec(None)) is None
    mel, speaker = torch.arange(3.0).repeat(2, 1)[..., None], torch.tensor([0, 1])
    got = cut({"mel": mel, "speaker": speaker}, spec, 20)
    assert got["mel"][1, :, 0].tolist() == [0, 1, 2, 0, 1]
    assert got["speaker"] is speaker
    assert cut(None, spec, 20) is None
