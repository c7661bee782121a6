from __future__ import annotations

import pytest

from distill.benchmark import streams
from distill.benchmark.streams import benchmark_streams
from distill.contract import DataSpec
from distill.evaluation.evaluator import Report
from distill.export import Exported
from distill.models import iaf
from tests.export.students import CASES, features_of


@pytest.fixture(name="opened")
def _opened(monkeypatch, tmp_path) -> list[str]:
    """A file whose backend is the eager model; the order in which streams computed."""
    order: list[str] = []
    make = streams._eager
    graphs = []

    def told(graph, name: str) -> Exported:
        compute = make(graph).compute

        def run(*given):
            order.append(name)
            return compute(*given)

        return Exported(graph.metadata, run, name)

    def eager(graph) -> Exported:
        graphs.append(graph)
        return told(graph, "eager")

    monkeypatch.setattr(streams, "_eager", eager)
    monkeypatch.setattr(streams, "load", lambda path: told(graphs[0], "file"))
    (tmp_path / "student.pt2").write_bytes(b"0" * 2000)
    return order


def test_every_file_and_the_eager_student_have_a_row_for_each_chunk(opened, tmp_path, small):
    flow, file = CASES["speakers"](), tmp_path / "student.pt2"
    table = benchmark_streams(flow, [file], [0.001, 0.004], 31, seconds=60, calibrator=small)
    assert {name: [row.milliseconds for row in rows] for name, rows in table.runs().items()} == {
        "student-eager": [1, 4],
        "student-pt2": [1, 4],
    }
    for row in table.rows:
        assert not row.note
        assert row.timing.runs == 31
        assert row.error < 1e-5
        assert row.work.flop > 0
        assert 0 < row.percentile(50) <= row.percentile(99)
    eager, pt2 = table.runs().values()
    assert (eager[0].megabytes, pt2[0].megabytes) == (None, 0.002)
    assert pt2[1].work == eager[1].work
    assert pt2[1].sites == 4 * pt2[0].sites
    assert table.calibrations["cpu"].gemm.runs == 15  # before each length and at the end


def test_streams_take_turns_chunk_by_chunk(opened, tmp_path, small):
    flow = CASES["unconditional"]()
    benchmark_streams(flow, [tmp_path / "student.pt2"], [0.001], 3, seconds=60, calibrator=small)
    assert opened[: 2 * (5 + 3)] == ["eager", "file"] * (5 + 3)


def test_features_may_be_given_and_what_is_off_has_a_large_error(monkeypatch, small):
    flow = CASES["repeat, no layers"]()
    features = {name: value[None] for name, value in features_of(flow, 8).items()}

    def measured():
        return benchmark_streams(flow, [], [0.001], 30, 60, "tiny", features, calibrator=small)

    (row,) = measured().rows
    assert row.name == "tiny-eager"
    assert row.error < 1e-5
    drawn = flow.run
    monkeypatch.setattr(
        type(flow), "run", lambda self, state, *rest: drawn(flow.start(rest[0], rest[1]), *rest)
    )
    (forgetful,) = measured().rows
    assert forgetful.error > 1e-3


def test_a_file_that_cannot_be_loaded_has_a_row_with_the_reason(tmp_path, small):
    (tmp_path / "student.onnx").write_bytes(b"nothing")
    flow = CASES["unconditional"]()
    table = benchmark_streams(flow, [tmp_path / "student.onnx"], [0.01], 2, calibrator=small)
    assert [row.note[:11] for row in table.rows] == ["", "unavailable"]
    assert "unavailable" in table.to_markdown()


def test_values_of_fixed_sites_have_an_empty_table_and_report():
    table = benchmark_streams(iaf(DataSpec(sites=2), 1, [4]), [])
    assert table.rows == []
    assert table.report() == Report()


@pytest.mark.parametrize(
    ("chunks", "pushes", "seconds"),
    [([], 1, 1.0), ([0.0], 1, 1.0), ([0.02], 1, 0.0), ([0.02], 0, 1.0)],
)
def test_bad_settings_are_refused(chunks, pushes, seconds):
    with pytest.raises(ValueError, match="chunks and seconds > 0 and pushes >= 1"):
        benchmark_streams(CASES["unconditional"](), [], chunks, pushes, seconds)
