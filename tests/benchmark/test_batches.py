from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch

from distill.benchmark import students
from distill.benchmark.batches import benchmark
from distill.benchmark.inputs import cut, rows, sites_of
from distill.benchmark.race import Contestant, Forecast, race
from distill.benchmark.row import Row
from distill.contract import DataSpec, FeatureSpec
from distill.models import iaf, maf
from tests.export.students import MEL, SPEAKER

SPEC = DataSpec(sites=3, features={"color": FeatureSpec("vector", 2)})
CPU = torch.device("cpu")


class File(SimpleNamespace):
    """What is asked of an exported file."""

    def sample(self, count, features, sites):
        self.drawn.append((count, None if features is None else features["color"].shape, sites))
        if self.error:
            raise self.error


@pytest.fixture(name="file")
def _file(tmp_path):
    path = tmp_path / "student.onnx"
    path.write_bytes(b"0" * 1000)
    return File(path=path, drawn=[], error=None)


def test_every_contestant_has_rows_and_every_student_two_baselines(file, small):
    teacher, student = maf(SPEC, 1, [8]), iaf(SPEC, 1, [8])
    table = benchmark(
        teacher.train(),
        student,
        {"onnx": file},
        batch_sizes=[4, 1],
        features={"color": torch.randn(3, 2)},
        rounds=2,
        seconds=60,
        teacher_ways=["plain", "incremental"],
        student_ways=["eager", "exports"],
        calibrator=small,
    )
    runs = table.runs()
    assert list(runs) == ["teacher-plain", "teacher-incremental", "student-eager", "student-onnx"]
    assert all([row.batch for row in rows] == [1, 4] for rows in runs.values())
    assert all(row.timing.runs == 2 and row.rate > 0 for row in table.rows)
    assert all(row.work.flop > 0 and row.sites == 3 for row in table.rows)
    eager, onnx = runs["student-eager"][1], runs["student-onnx"][1]
    assert eager.work == onnx.work
    assert (onnx.megabytes, eager.megabytes) == (0.001, pytest.approx(onnx.megabytes, rel=1))
    assert set(file.drawn) == {(1, (1, 2), 3), (4, (4, 2), 3)}
    assert teacher.training
    assert table.calibrations["cpu"].gemm.runs == 6  # before each batch size and at the end
    assert table.environment["dtype"] == "float32"
    compared = {(row.name, baseline) for row, baseline, _ in table.speedups()}
    assert compared == {
        (f"student-{backend}", baseline)
        for backend in ("eager", "onnx")
        for baseline in ("plain", "incremental")
    }


def test_contestants_take_turns_within_a_batch_size(small):
    order: list[str] = []
    entries = [
        Contestant("student", name, lambda n, name=name: order.append(f"{name}{n}"), CPU)
        for name in "ab"
    ]
    rows_, _ = race(entries, [2, 1], rounds=2, calibrator=small)
    assert "".join(order) == "a1b1" * 3 + "a2b2" * 3
    assert [(row.backend, row.batch) for row in rows_] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


def test_what_fails_has_a_row_with_the_reason(monkeypatch, file, small):
    def no_compiler(*_: object, **__: object):
        raise RuntimeError("no C++\ncompiler")

    monkeypatch.setattr(students.torch, "compile", no_compiler)
    file.error = OSError("gone")
    spec = DataSpec(sites=2)
    table = benchmark(
        maf(spec, 1, [4]), iaf(spec, 1, [4]), {"pt2": file}, [1], rounds=1, calibrator=small
    )
    notes = {row.name: row.note for row in table.rows if row.timing is None}
    assert notes == {
        "teacher-compiled": "Flow has no compiled sampler",
        "student-compiled": "unavailable: RuntimeError: no C++ compiler",
        "student-pt2": "unavailable: OSError: gone",
    }
    assert "no C++ compiler" in table.to_markdown()


def test_what_would_take_too_long_is_left_out_or_computed(small):
    slow = Contestant("student", "slow", lambda n: time.sleep(0.002 * n), CPU)
    told = Contestant(
        "teacher", "plain", print, CPU, forecast=lambda n: Forecast(100.0 * n, "one pass")
    )
    rows_, _ = race([told, slow], [1, 4, 4000], rounds=1, seconds=0.02, calibrator=small)
    assert [row.timing.times for row in rows_[:3]] == [(100.0,), (400.0,), (400_000.0,)]
    assert all(row.timing.computed for row in rows_[:3])
    assert rows_[0].note == "computed from the time of one pass"
    assert rows_[5].timing is None
    assert rows_[5].note.startswith("left out: about")


def test_a_number_that_can_not_be_had_is_a_note_and_no_end(small):
    def broken(batch: int):
        raise RuntimeError("not counted")

    entry = Contestant("student", "eager", lambda n: None, CPU, cost=broken, note="x 1.0")
    (row,), _ = race([entry], [1], rounds=3, calibrator=small)
    assert row.timing.runs == 3
    assert row.work is None
    assert row.note == "x 1.0; unavailable: RuntimeError: not counted"


def test_rows_that_say_why_something_is_missing_keep_their_place(small):
    entry = Contestant("student", "eager", lambda n: None, CPU)
    rows_, roofs = race([Row("zuko", "maf", note="missing"), entry], [1], 1, calibrator=small)
    assert [row.name for row in rows_] == ["zuko-maf", "student-eager"]
    assert list(roofs) == ["cpu"]


@pytest.mark.parametrize(("sizes", "seconds"), [([], 1.0), ([0], 1.0), ([1], 0.0)])
def test_bad_settings_are_refused(sizes, seconds):
    flow = iaf(DataSpec(sites=2), 1, [4])
    with pytest.raises(ValueError, match="batch sizes >= 1 and seconds > 0"):
        benchmark(flow, flow, {}, sizes, seconds=seconds)


def test_an_unknown_way_is_refused():
    flow = iaf(DataSpec(sites=2), 1, [4])
    with pytest.raises(ValueError, match=r"benchmark\.student: wanted any of eager, compiled"):
        benchmark(flow, flow, {}, [1], student_ways=["onnx"])


def test_rows_of_features_are_repeated_as_often_as_needed():
    repeated = rows({"color": torch.arange(3)}, 7)
    assert repeated["color"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert rows(None, 7) is None


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


@pytest.mark.slow
def test_the_compiled_student_has_a_row(small):
    flow = iaf(DataSpec(sites=2), 1, [4])
    table = benchmark(flow, flow, {}, [1, 4], rounds=1, calibrator=small)
    compiled = table.runs()["student-compiled"]
    assert all(row.timing or row.note for row in compiled)
