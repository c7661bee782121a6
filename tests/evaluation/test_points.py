"""The evaluator of vectors, and its pictures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from distill.contract import DataSpec
from distill.data import ArrayData, Data, Moons
from distill.evaluation import Evaluator, PointsEvaluator, Report
from distill.evaluation.pictures import layers_figure
from distill.instantiate import build
from distill.models import Flow, iaf, maf

CONF = Path(__file__).parents[2] / "conf" / "evaluation" / "points.yaml"


def _table(sites: int) -> ArrayData:
    values = np.random.default_rng(0).normal(size=(400, sites))
    return ArrayData(values, {"c": values[:, :1] ** 2})


DATA = {
    "moons": lambda: Moons(count=600),
    "one site": lambda: _table(1),
    "two sites with features": lambda: _table(2),
    "three sites": lambda: _table(3),
    "many sites": lambda: _table(20),
}


def _evaluator(**settings: object) -> PointsEvaluator:
    small = {"count": 300, "watch_count": 100, "neighbors": 300, "resolution": 24, "points": 200}
    return PointsEvaluator(**{**small, **settings})  # type: ignore[arg-type]


def _pair(data: Data) -> tuple[Flow, Flow]:
    torch.manual_seed(0)
    return maf(data.spec, layers=2, hidden=[8]), iaf(data.spec, layers=2, hidden=[8])


def _check_pictures(report: Report, folder: Path) -> None:
    for name, figure in report.figures.items():
        assert isinstance(figure, Figure)
        file = folder / f"{name.replace('/', '_')}.png"
        figure.savefig(file, dpi=40)
        assert file.stat().st_size > 1000


@pytest.mark.parametrize("name", DATA)
def test_evaluate_reports_scalars_and_pictures(name: str, tmp_path: Path) -> None:
    data = DATA[name]()
    teacher, student = _pair(data)
    report = _evaluator().evaluate(teacher, student, data, seed=0)
    scalars = report.scalars
    for key in ("teacher/held_out_nll", "student/held_out_nll", "student/kl_reverse"):
        assert scalars[f"{key}/standard_error"] >= 0
        assert scalars[f"{key}/per_site"] == pytest.approx(scalars[key] / (data.spec.sites or 0))
    # Untrained flows are the identity, so the two are one density.
    assert scalars["student/kl_reverse"] == pytest.approx(0, abs=1e-4)
    assert scalars["student/kl_forward"] == pytest.approx(0, abs=1e-4)
    assert all(isinstance(v, float) and math.isfinite(v) for v in scalars.values())
    assert ("student/coverage/upper" in scalars) == (name == "moons")
    assert ("data/entropy" in scalars) == (name == "moons")
    assert "student/kl_forward" in report.tables["summary"]
    assert set(report.figures) == {"samples"} | {
        f"{who}/{what}" for who in ("teacher", "student") for what in ("density", "layers")
    }
    _check_pictures(report, tmp_path)


@pytest.mark.parametrize("name", ["moons", "three sites"])
def test_watch_reports_a_density_and_with_a_teacher_a_student(name: str, tmp_path: Path) -> None:
    data = DATA[name]()
    teacher, student = _pair(data)
    alone = _evaluator().watch(teacher, data, seed=0)
    assert "held_out_nll" in alone.scalars
    assert "kl_reverse" not in alone.scalars
    pupil = _evaluator(student_nll_sites=1).watch(student, data, seed=0, teacher=teacher)
    assert "held_out_nll" not in pupil.scalars
    assert pupil.scalars["kl_reverse"] == pytest.approx(0, abs=1e-4)
    assert set(alone.figures) == set(pupil.figures) == {"density", "layers"}
    _check_pictures(pupil, tmp_path)


def test_watch_changes_nothing() -> None:
    data = Moons(count=600)
    teacher, student = _pair(data)
    student.train()
    state = torch.get_rng_state()
    _evaluator().watch(student, data, seed=0, teacher=teacher)
    assert student.training
    assert torch.equal(torch.get_rng_state(), state)


def test_pictures_can_be_left_out() -> None:
    data = Moons(count=600)
    assert not _evaluator(pictures=False).evaluate(*_pair(data), data, seed=0).figures


def test_a_broken_student_is_reported_and_drawn(tmp_path: Path) -> None:
    data = Moons(count=600)
    teacher, student = _pair(data)
    with torch.no_grad():
        next(student.parameters()).fill_(float("nan"))
    report = _evaluator().evaluate(teacher, student, data, seed=0)
    assert math.isnan(report.scalars["student/kl_reverse"])
    assert report.scalars["student/recall"] == 0
    assert report.scalars["student/coverage/outside"] == 1
    _check_pictures(report, tmp_path)


def test_layers_are_drawn_without_permutations_and_thinned() -> None:
    spec = DataSpec(sites=2)
    few = iaf(spec, layers=3, hidden=[8])
    panels = [a.get_title() for a in layers_figure(few, few.noise(50)).axes if a.axison]
    assert panels == ["noise", "layer 1", "layer 2", "layer 3", "sample"]
    many = iaf(spec, layers=20, hidden=[8])
    panels = [a.get_title() for a in layers_figure(many, many.noise(50)).axes if a.axison]
    assert (len(panels), panels[0], panels[-1]) == (10, "noise", "sample")


def test_layers_are_drawn_in_the_order_of_the_data() -> None:
    flow = iaf(DataSpec(sites=2), layers=2, hidden=[8])
    noise = flow.noise(50)
    axes = layers_figure(flow, noise).axes
    first = axes[0].collections[0].get_offsets()
    last = axes[3].collections[0].get_offsets()
    # The untrained flow only flips once: shown in the data's order, nothing moves.
    assert np.allclose(np.asarray(first), np.asarray(last), atol=1e-6)


def test_values_without_a_fixed_length_raise() -> None:
    data = Moons(count=100)
    data.spec = DataSpec(sites=None)
    with pytest.raises(ValueError, match="fixed number of sites"):
        _evaluator().watch(_pair(Moons(count=100))[0], data, seed=0)


def test_config_builds_the_evaluator() -> None:
    assert isinstance(build(OmegaConf.load(CONF)), Evaluator)
    with pytest.raises(ValueError, match="at least 2"):
        PointsEvaluator(count=1)
