"""WaveNets in units of the data: any scale, one for each site, and no sharper than told."""

from __future__ import annotations

import math

import pytest
import torch

from distill.contract import Batch, DataSpec
from distill.distributions import (
    GaussianHead,
    LogisticHead,
    MixtureOfGaussians,
    MixtureOfLogistics,
    MuLaw,
)
from distill.models import wavenet, wavenet_iaf
from distill.objectives import (
    Distillation,
    FreeEntropyKL,
    GaussianKL,
    JensenShannon,
    Likelihood,
    ReverseKL,
)

SPECS = {
    "tiny": DataSpec(sites=None, scale=(1e-4,)),
    "far away": DataSpec(sites=None, loc=(5.0,), scale=(300.0,)),
    "a scale for each site": DataSpec(3, (5.0, -600.0, 0.0), (0.1, 1000.0, 1e-4)),
}
HEADS = [GaussianHead, LogisticHead, MixtureOfGaussians, MixtureOfLogistics]


def plain_of(spec: DataSpec) -> DataSpec:
    return DataSpec(sites=spec.sites)


def values(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, dtype=torch.float64)


def in_units(spec: DataSpec, z: torch.Tensor) -> torch.Tensor:
    return z * torch.tensor(spec.scale).double() + torch.tensor(spec.loc).double()


def teachers(spec: DataSpec, head=GaussianHead):
    """Return the same network for data of unit scale and for data of a spec."""
    made = []
    for own in (plain_of(spec), spec):
        torch.manual_seed(2)
        made.append(wavenet(own, head, layers=2, channels=4, block=2, last_scale=1.0).double())
    return made


def students(spec: DataSpec):
    made = []
    for own in (plain_of(spec), spec):
        torch.manual_seed(3)
        made.append(wavenet_iaf(own, [2], channels=4, last_scale=1.0).double())
    return made


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", SPECS)
def test_a_teacher_in_other_units_is_the_same_teacher(name, head):
    spec, z = SPECS[name], values()
    logs = torch.tensor(spec.scale).double().log()
    plain, scaled = teachers(spec, head)
    losses = []
    for model, x, shift in ((plain, z, 0.0), (scaled, in_units(spec, z), logs)):
        loss = -(model.log_prob(x) + shift).mean()
        loss.backward()
        losses.append(loss.item())
    assert losses[1] == pytest.approx(losses[0], abs=1e-8)
    assert losses[0] < 3
    for mine, wanted in zip(scaled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, wanted.grad, rtol=1e-6, atol=1e-9)
    assert plain.conditioner.last.bias.grad.abs().sum() > 0
    drawn = [model.sample(5, sites=3, seed=0) for model in (plain, scaled)]
    torch.testing.assert_close(drawn[1], in_units(spec, drawn[0]), rtol=1e-7, atol=1e-10)
    fast = [model.float().sample(5, sites=3, seed=0).double() for model in (plain, scaled)]
    torch.testing.assert_close(fast[1], in_units(spec, fast[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SPECS)
def test_likelihood_after_a_noisy_past_does_not_depend_on_units(name):
    spec, z, losses = SPECS[name], values(), []
    for model, x in zip(teachers(spec), (z, in_units(spec, z)), strict=True):
        torch.manual_seed(0)
        losses.append(Likelihood(model, history_noise=1.0)(Batch(x), 0.0).value.item())
    shift = sum(math.log(scale) for scale in spec.scale) / len(spec.scale)
    assert losses[1] - shift == pytest.approx(losses[0], abs=1e-6)


OBJECTIVES = {
    "reverse": ReverseKL,
    "free entropy": lambda: FreeEntropyKL(2),
    "closed form": GaussianKL,
    "Jensen-Shannon": JensenShannon,
}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", SPECS)
def test_distillation_in_other_units_is_the_same_distillation(name, objective):
    spec, z = SPECS[name], values()
    found = []
    for teacher, student, x in zip(
        teachers(spec), students(spec), (z, in_units(spec, z)), strict=True
    ):
        task = Distillation(student, teacher, OBJECTIVES[objective]())
        torch.manual_seed(0)
        loss = task(Batch(x), 0.0).value
        loss.backward()
        found.append((loss.item(), [p.grad for p in student.parameters()]))
    (wanted, gradients), (got, mine) = found
    assert got == pytest.approx(wanted, rel=1e-6)
    for one, other in zip(mine, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)
    assert sum(g.abs().sum() for g in gradients) > 1e-3


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_objective_sees_a_sharper_teacher_than_told(objective):
    spec = DataSpec(sites=None, scale=(0.01,))
    teacher, student = wavenet(spec, layers=1, channels=4), wavenet_iaf(spec, [1], channels=4)
    with torch.no_grad():
        teacher.conditioner.last.weight.zero_()
        teacher.conditioner.last.bias.copy_(torch.tensor([0.05, -20.0]))
    losses = []
    for lowest in (-9.0, -7.0):
        task = Distillation(student, teacher, OBJECTIVES[objective](), min_log_scale=lowest)
        torch.manual_seed(0)
        losses.append(task(Batch(torch.zeros(4, 50)), 0.0).value.item())
    # Distances count by the square of the scale, but for the divergence that is bounded.
    wanted = 1.0 if objective == "Jensen-Shannon" else math.exp(4)
    assert losses[0] / losses[1] == pytest.approx(wanted, rel=0.05)
    assert teacher.head.min_log_scale == -9


def test_levels_want_one_scale():
    with pytest.raises(ValueError, match=r"one scale beside MuLaw.*one for each of 3 sites"):
        wavenet(SPECS["a scale for each site"], MuLaw, layers=1)
    teacher = wavenet(DataSpec(None, scale=(0.1,)), lambda: MixtureOfLogistics(2, bins=256))
    assert teacher.units is None
    assert teacher.head.min_log_scale == pytest.approx(-7 + math.log(0.1))


def test_a_bound_that_is_no_number_is_refused():
    spec = DataSpec(sites=None)
    pair = wavenet_iaf(spec, [1], channels=4), wavenet(spec, layers=1, channels=4)
    with pytest.raises(ValueError, match="min_log_scale: wanted"):
        Distillation(*pair, ReverseKL(), min_log_scale=math.nan)
