"""Estimates of likelihood and divergence."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from distill.bijectors import Standardize
from distill.contract import DataSpec
from distill.data import ArrayData, Banana
from distill.distributions import MixtureOfGaussians
from distill.evaluation import (
    Estimate,
    forward_kl,
    held_out_nll,
    jensen_shannon,
    reverse_kl,
    score_draws,
    score_samples,
)
from distill.evaluation.placing import evaluating, held_out_features
from distill.models import AutoregressiveDensity, Density, Flow, iaf, maf
from distill.networks import MADE
from tests.randomized import randomized


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def _normal(loc: float, scale: float, sites: int = 3) -> Flow:
    return Flow(Standardize([loc] * sites, [scale] * sites), DataSpec(sites=sites))


def _normal_kl(a: tuple[float, float], b: tuple[float, float]) -> float:
    return math.log(b[1] / a[1]) + (a[1] ** 2 + (a[0] - b[0]) ** 2) / (2 * b[1] ** 2) - 0.5


def _models() -> dict[str, Density]:
    spec = DataSpec(sites=3, loc=(1.0, 0.0, 2.0), scale=(1.0, 2.0, 0.5))
    head = MixtureOfGaussians(2)
    return {
        "iaf": randomized(iaf(spec, layers=2, hidden=[8])),
        "maf": randomized(maf(spec, layers=2, hidden=[8])),
        "maf with norm": randomized(maf(spec, layers=2, hidden=[8], norm="batch")),
        "autoregressive": randomized(
            AutoregressiveDensity(MADE(3, [8], head.parameters_per_site), head, spec)
        ),
    }


@pytest.mark.parametrize("name", ["iaf", "maf", "maf with norm", "autoregressive"])
@pytest.mark.parametrize("copied", [False, True])
def test_kl_is_zero_when_student_is_teacher(name: str, copied: bool) -> None:
    teacher = _models()[name].float()
    student = copy.deepcopy(teacher) if copied else teacher
    for divergence in (reverse_kl, forward_kl):
        estimate = divergence(student, teacher, count=64)
        assert (estimate.mean, estimate.standard_error, estimate.count) == (0, 0, 64)


def test_reverse_kl_of_a_draw_is_that_of_the_sequential_inverse() -> None:
    models = _models()
    scores = score_draws(models["iaf"], models["maf"], 50, seed=1)
    again = models["iaf"].log_prob(scores.x).sum(-1)
    assert torch.allclose(scores.student, again, atol=1e-10)
    assert torch.allclose(scores.teacher, models["maf"].log_prob(scores.x).sum(-1), atol=1e-10)


def test_kl_of_normals_is_within_its_standard_error_of_the_closed_form() -> None:
    q, p = (0.2, 0.8), (0.0, 1.0)
    student, teacher = _normal(*q), _normal(*p)
    for estimate, truth in (
        (reverse_kl(student, teacher, 40_000), 3 * _normal_kl(q, p)),
        (forward_kl(student, teacher, 40_000), 3 * _normal_kl(p, q)),
    ):
        assert abs(estimate.mean - truth) < 4 * estimate.standard_error
        assert 0 < estimate.standard_error < 0.01


def test_kl_does_not_depend_on_how_a_batch_is_cut_beyond_its_error() -> None:
    student, teacher = _normal(0.2, 0.8), _normal(0.0, 1.0)
    whole, cut = reverse_kl(student, teacher, 5000), reverse_kl(student, teacher, 5000, size=999)
    assert whole.count == cut.count == 5000
    assert whole.mean != cut.mean
    assert abs(whole.mean - cut.mean) < 4 * math.hypot(whole.standard_error, cut.standard_error)


def test_estimates_follow_the_seed() -> None:
    student, teacher = _normal(0.2, 0.8), _normal(0.0, 1.0)
    assert reverse_kl(student, teacher, 100, 1) == reverse_kl(student, teacher, 100, 1)
    assert reverse_kl(student, teacher, 100, 1) != reverse_kl(student, teacher, 100, 2)


def test_jensen_shannon_is_zero_for_equals_and_ln_two_for_strangers() -> None:
    near, far = _normal(0.0, 1.0), _normal(100.0, 1.0)

    def js(student: Flow, teacher: Flow) -> Estimate:
        return jensen_shannon(
            score_draws(student, teacher, 100, 0), score_samples(student, teacher, 100, 0)
        )

    assert js(near, near).mean == pytest.approx(0, abs=1e-12)
    assert js(far, near).mean == pytest.approx(math.log(2), abs=1e-9)
    p, q = _normal(0.0, 1.0, sites=1), _normal(1.0, 1.0, sites=1)
    x = torch.linspace(-12, 12, 20_001)
    log_p, log_q = p.log_prob(x[:, None])[:, 0], q.log_prob(x[:, None])[:, 0]
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    truth = torch.trapezoid(
        0.5 * (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)), x
    )
    estimate = jensen_shannon(score_draws(q, p, 20_000, 0), score_samples(q, p, 20_000, 0))
    assert abs(estimate.mean - float(truth)) < 4 * estimate.standard_error


def test_held_out_nll_of_the_true_density_is_its_entropy() -> None:
    values = 3 + 2 * np.random.default_rng(0).normal(size=(20_000, 3))
    data = ArrayData(values, held_out=0.5)
    truth = 3 * (0.5 * math.log(2 * math.pi * math.e) + math.log(2))
    estimate = held_out_nll(_normal(3, 2), data, size=999)
    assert estimate.count == 10_000
    assert abs(estimate.mean - truth) < 4 * estimate.standard_error
    assert held_out_nll(_normal(3, 2), data, size=1000, limit=2500).count == 3000


def test_entropy_of_the_banana_is_the_nll_of_its_own_density() -> None:
    data = Banana(noise=0.3)
    x = data.held_out_values
    residual = (x[:, 1] - x[:, 0] ** 2 + 1) / 0.3
    log_prob = -0.5 * (x[:, 0] ** 2 + residual**2) - math.log(2 * math.pi * 0.3)
    estimate = Estimate.of(-log_prob)
    assert data.entropy is not None
    assert abs(estimate.mean - data.entropy) < 4 * estimate.standard_error


def test_features_are_taken_from_held_out_values_in_turn() -> None:
    values = np.random.default_rng(0).normal(size=(100, 2))
    data = ArrayData(values, {"c": 3 * values[:, :1]})
    features = held_out_features(data, 25)
    assert features is not None
    expected = 3 * torch.cat([data.held_out_values] * 3)[:25, :1]
    assert torch.allclose(features["c"], expected)
    student = randomized(iaf(data.spec, layers=2, hidden=[8]))
    teacher = randomized(maf(data.spec, layers=2, hidden=[8]))
    scores = score_draws(student, teacher, 25, 0, features, size=7)
    again = teacher.log_prob(scores.x, features).sum(-1)
    assert torch.allclose(scores.teacher, again, atol=1e-10)
    assert held_out_nll(teacher, data).count == 10


def test_evaluation_leaves_modes_statistics_and_gradients_alone() -> None:
    student, teacher = _models()["iaf"], _models()["maf with norm"]
    teacher.train()
    teacher.bijector.layers[0].eval()  # type: ignore[union-attr, index, operator]
    modes = [m.training for m in teacher.modules()]
    before = copy.deepcopy(teacher.state_dict())
    reverse_kl(student, teacher, 50)
    assert [m.training for m in teacher.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert all(p.grad is None for p in [*student.parameters(), *teacher.parameters()])
    with evaluating(teacher):
        assert not teacher.training
    with pytest.raises(ZeroDivisionError), evaluating(teacher):
        _ = 1 / 0
    assert teacher.training


def test_student_and_teacher_may_differ_in_precision() -> None:
    models = _models()
    estimate = reverse_kl(models["iaf"].float(), models["maf"], 64)
    assert math.isfinite(estimate.mean)
    assert math.isfinite(forward_kl(models["iaf"], models["maf"], 64).mean)


def test_one_value_is_no_estimate() -> None:
    with pytest.raises(ValueError, match="at least 2 values"):
        Estimate.of(torch.zeros(1))
