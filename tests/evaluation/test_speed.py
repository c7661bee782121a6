from __future__ import annotations

import re
import time

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distill.bijectors import Autoregressive, Jacobi
from distill.contract import DataSpec, FeatureSpec
from distill.evaluation import speed
from distill.evaluation.speed import benchmark
from distill.evaluation.speed_runs import write_runs
from distill.evaluation.speed_samplers import rows, whole_passes
from distill.evaluation.speed_table import Row, SpeedTable
from distill.evaluation.timing import Timing, environment, measure
from distill.models import iaf, maf

SPEC = DataSpec(sites=3, features={"color": FeatureSpec("vector", 2)})


def a_table() -> SpeedTable:
    times = {"plain": 8.0, "incremental": 2.0}
    table = SpeedTable(3, {"CPU": "a | b", "threads": "2"})
    for backend, seconds in times.items():
        table.rows.append(Row("teacher", backend, 4, Timing(seconds, seconds, seconds, 0)))
    table.rows.append(Row("student", "onnx", 4, Timing(0.5, 0.4, 0.6, 5)))
    table.rows.append(Row("student", "onnx", 8, Timing(0.8, 0.8, 0.8, 5)))
    table.rows.append(Row("student", "compiled", 0, note="unavailable: no compiler"))
    return table


def test_the_median_is_robust_against_one_slow_run():
    waits = iter([0.0, 0.0, 0.05, 0.0])
    timing = measure(lambda: time.sleep(next(waits)), repeats=3, warmup=1)
    assert timing.repeats == 3
    assert timing.minimum <= timing.median < 0.02 < 0.05 <= timing.maximum
    assert timing.rate(10) == pytest.approx(10 / timing.median)


def test_a_time_limit_leaves_out_runs_but_never_all_of_them():
    calls = []
    timing = measure(lambda: (calls.append(1), time.sleep(0.03)), repeats=50, seconds=0.1)
    assert 1 <= timing.repeats < 6
    assert len(calls) == timing.repeats + 1
    assert measure(lambda: time.sleep(0.02), repeats=5, seconds=1e-9).repeats == 1


def test_no_repeats_are_refused():
    with pytest.raises(ValueError, match="repeats >= 1"):
        measure(lambda: None, repeats=0)


def test_the_environment_names_processor_and_versions():
    facts = environment()
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == str(torch.get_num_threads())
    assert facts["CPU"]


def test_plain_and_incremental_sampling_are_the_same_function():
    torch.manual_seed(0)
    teacher = maf(DataSpec(sites=5), 2, [16]).double()
    for parameter in teacher.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for module in teacher.modules():
        if hasattr(module, "mask_"):
            module.mask_()
    incremental = teacher.sample(6, seed=0)
    with whole_passes(teacher):
        plain = teacher.sample(6, seed=0)
    torch.testing.assert_close(plain, incremental)
    layers = [m for m in teacher.modules() if isinstance(m, Autoregressive)]
    assert layers
    assert all(layer.incremental for layer in layers)


def test_rows_of_features_are_repeated_as_often_as_needed():
    given = {"color": torch.arange(3)}
    repeated = rows(given, 7)
    assert repeated is not None
    assert repeated["color"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert rows(None, 7) is None


def test_every_contestant_has_rows_and_every_student_two_baselines():
    teacher, student = maf(SPEC, 1, [8]), iaf(SPEC, 1, [8])
    features = {"color": torch.randn(3, 2)}
    drawn = []
    table = benchmark(
        teacher.train(),
        student,
        {"onnx": drawn.append},
        batch_sizes=[4, 1],
        features=features,
        repeats=2,
        seconds=0.5,
        compiled=False,
        jacobi=Jacobi(),
    )
    runs = table.runs()
    assert list(runs) == [
        "teacher-plain",
        "teacher-incremental",
        "teacher-jacobi",
        "student-eager",
        "student-onnx",
    ]
    assert all([row.batch for row in rows] == [1, 4] for rows in runs.values())
    assert all(row.timing is not None and row.rate > 0 for row in table.rows)
    assert set(drawn) == {1, 4}
    assert teacher.training
    compared = {(row.name, baseline) for row, baseline, _ in table.speedups()}
    assert compared == {
        (f"student-{backend}", baseline)
        for backend in ("eager", "onnx")
        for baseline in ("plain", "incremental")
    }


def test_sampling_by_rounds_says_how_many_it_took_and_how_far_off_it_is():
    teacher, student = maf(DataSpec(sites=6), 2, [16]), iaf(DataSpec(sites=6), 1, [4])
    for parameter in teacher.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for module in teacher.modules():
        if hasattr(module, "mask_"):
            module.mask_()
    table = benchmark(teacher, student, {}, [1, 5], repeats=1, compiled=False, jacobi=Jacobi(0.0))
    for row in table.runs()["teacher-jacobi"]:
        assert re.search(
            r"^\d \+ \d rounds for 12 steps, exact; \S+ from the sequential sampler at batch 1$",
            row.note,
        )
        assert float(row.note.split("; ")[1].split()[0]) < 1e-5
    none = benchmark(student, student, {}, [1], repeats=1, compiled=False, jacobi=Jacobi())
    (row,) = none.runs()["teacher-jacobi"]
    assert "nothing in this Flow is sequential" in row.note


def test_what_fails_has_a_row_with_the_reason(monkeypatch: pytest.MonkeyPatch):
    def no_compiler(*_: object, **__: object):
        raise RuntimeError("no C++\ncompiler")

    monkeypatch.setattr(speed.torch, "compile", no_compiler)

    def broken(count: int) -> None:
        raise OSError("gone")

    table = benchmark(
        maf(DataSpec(sites=2), 1, [4]),
        iaf(DataSpec(sites=2), 1, [4]),
        {"pt2": broken},
        [1],
        None,
        1,
    )
    notes = {row.name: row.note for row in table.rows if row.timing is None}
    assert notes == {
        "student-compiled": "unavailable: RuntimeError: no C++ compiler",
        "student-pt2": "unavailable: OSError: gone",
    }
    assert "no C++ compiler" in table.to_markdown()


def test_a_teacher_without_a_plain_sampler_has_a_row_that_says_so():
    flow = iaf(DataSpec(sites=2), 1, [4])
    table = benchmark(flow, flow, {}, [1], None, 1, compiled=False)
    (plain,) = table.runs()["teacher-plain"]
    assert plain.timing is None
    assert "no plain sampler" in plain.note


def test_what_would_take_too_long_is_left_out_or_computed(monkeypatch: pytest.MonkeyPatch):
    teacher = maf(DataSpec(sites=2), 1, [4])
    monkeypatch.setattr(speed, "_passes", lambda *_: lambda batch: 100.0 * batch)
    slow = {"slow": lambda count: time.sleep(0.002 * count)}
    table = benchmark(
        teacher, iaf(DataSpec(sites=2), 1, [4]), slow, [1, 4, 4000], None, 1, 0.02, compiled=False
    )
    plain = table.runs()["teacher-plain"][1]
    assert plain.timing == Timing(400.0, 400.0, 400.0, 0)
    assert "computed" in plain.note
    left_out = table.runs()["student-slow"][2]
    assert left_out.timing is None
    assert left_out.note.startswith("left out: about")


@pytest.mark.parametrize(("sizes", "seconds"), [([], 1.0), ([0], 1.0), ([1], 0.0)])
def test_bad_settings_are_refused(sizes: list[int], seconds: float):
    flow = iaf(DataSpec(sites=2), 1, [4])
    with pytest.raises(ValueError, match="batch sizes >= 1 and seconds > 0"):
        benchmark(flow, flow, {}, sizes, seconds=seconds)


def test_the_report_says_which_baseline_each_ratio_has():
    report = a_table().report()
    assert report.scalars["speed/student-onnx/samples_per_second/batch_8"] == 10
    assert report.scalars["speedup/student-onnx/over_teacher_plain/batch_4"] == 16
    assert report.scalars["speedup/student-onnx/over_teacher_incremental/batch_4"] == 4
    assert not [name for name in report.scalars if "speedup" in name and "batch_8" in name]
    assert "| student | onnx | 4 | 8 | 500 (400-600) | 4 | 16 |  |" in report.tables["speed"]
    axis = report.figures["speed"].axes[0]
    assert axis.get_yscale() == "log"
    assert sorted(bar.get_height() for bar in axis.patches) == [0.5, 2, 8, 10]


def test_tensorboard_gets_one_run_per_model_and_backend(tmp_path):
    paths = write_runs(a_table(), tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "speed/teacher-plain",
        "speed/teacher-incremental",
        "speed/student-onnx",
        "speed/student-compiled",
    ]
    events = EventAccumulator(str(tmp_path / "speed" / "student-onnx"))
    events.Reload()
    scalars = events.Scalars("samples_per_second")
    assert [(event.step, event.value) for event in scalars] == [(4, 8.0), (8, 10.0)]
    assert events.Scalars("best_samples_per_second")[0].value == 10.0
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    assert "_hparams_/session_start_info" in events.summary_metadata
    silent = EventAccumulator(str(tmp_path / "speed" / "student-compiled"))
    silent.Reload()
    assert "notes/text_summary" in silent.Tags()["tensors"]


@pytest.mark.slow
def test_the_compiled_student_has_a_row():
    flow = iaf(DataSpec(sites=2), 1, [4])
    table = benchmark(flow, flow, {}, [1, 4], None, 1)
    compiled = table.runs()["student-compiled"]
    assert all(row.timing or row.note for row in compiled)
