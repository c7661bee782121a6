from __future__ import annotations

from dataclasses import replace

import pytest

from distill.benchmark import growth
from distill.benchmark.growth import Growth, Point, measure_growth
from distill.benchmark.timing import Timing
from distill.contract import DataSpec
from distill.models import iaf, maf, wavenet, wavenet_iaf

SIGNAL = DataSpec(None, sample_rate=16, hop=4)


def signals(role, *, sites=None, block=None):
    if role == "teacher":
        return wavenet(SIGNAL, layers=1, channels=2, block=block or 1).eval()
    return wavenet_iaf(SIGNAL, [1], 1, channels=2, block=block or 1).eval()


def points(role, *, sites=None, block=None):
    if block:
        raise ValueError("it has no block.")
    spec = DataSpec(sites=2)
    make = maf if role == "teacher" else iaf
    return make(replace(spec, sites=sites or 2), 1, [4]).eval()


def sizes(found: Growth) -> dict[tuple[str, str], list[tuple[int, int]]]:
    return {key: [(p.size, p.sites) for p in curve] for key, curve in found.curves.items()}


def test_signals_grow_over_length_batch_and_block():
    over = {"sites": [6, 16], "batch": [1, 3], "block": [1, 2]}
    found = measure_growth(signals, over, sites=16, rounds=2, seconds=60)
    own = {
        "sites": [(6, 8), (16, 16)],  # whole frames
        "batch": [(1, 16), (3, 48)],
        "block": [(1, 16), (2, 16)],
    }
    assert sizes(found) == {
        (axis, role): values for axis, values in own.items() for role in ("teacher", "student")
    }
    assert all(p.timing.runs == 2 for curve in found.curves.values() for p in curve)
    assert found.notes == []
    report = found.report()
    assert len(report.figures["growth"].axes) == 3
    assert report.scalars["growth/batch/student/ms_at_3"] > 0
    assert "| values drawn at once | teacher | 3 |" in report.tables["growth"]


def test_values_of_fixed_length_are_drawn_by_models_of_each_length():
    found = measure_growth(points, {"sites": [2, 5], "block": [2]}, rounds=1)
    assert sizes(found) == {("sites", role): [(2, 2), (5, 5)] for role in ("teacher", "student")}
    assert found.notes == [
        "teacher, 2 sites of a block: it has no block.",
        "student, 2 sites of a block: it has no block.",
    ]


def test_teacher_and_student_take_turns(monkeypatch):
    order = []
    monkeypatch.setattr(growth, "draw", lambda model, inputs, batch: order.append(model))
    measure_growth(signals, {"batch": [2]}, sites=4, rounds=3)
    assert [type(model).__name__ for model in order] == ["AutoregressiveDensity", "Flow"] * 4


def test_what_would_take_far_too_long_has_a_note(monkeypatch):
    slow = Point(1, 4, Timing((3.0,)))
    found = Growth({}, {("sites", "teacher"): [slow]})
    growth._measure(found, 1, 1.0, "sites", 100, {"teacher": None})
    assert found.notes == ["teacher, 100 sites of a value: left out, about 300 s expected"]


def test_an_unknown_axis_is_refused():
    with pytest.raises(ValueError, match=r"benchmark\.growth_over: wanted any of sites, batch"):
        measure_growth(points, {"width": [1]})


def test_without_any_point_the_notes_are_the_report():
    found = measure_growth(points, {"block": [2]}, rounds=1)
    report = found.report()
    assert not report.figures
    assert "it has no block" in report.tables["growth"]
