"""Every smooth objective has right first and second derivatives, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from distill.contract import Batch, DataSpec, FeatureSpec
from distill.data.audio import LogMel
from distill.distributions import Logistic, MixtureOfLogistics, MuLaw
from distill.models import freeze, iaf, maf, wavenet, wavenet_iaf
from distill.objectives import (
    Contrastive,
    ForwardKL,
    FreeEntropyKL,
    GaussianKL,
    JensenShannon,
    LogMelDistance,
    MultiResolutionSTFT,
    PowerLoss,
    ReverseKL,
    WeightedSum,
)
from tests.randomized import randomized

SPEC = DataSpec(sites=3, features={"c": FeatureSpec("vector", 1)})
SOUND = DataSpec(sites=None, scale=(0.5,), sample_rate=8_000)
FLOWS = (
    partial(iaf, SPEC, 1, [6], activation="tanh"),
    partial(maf, SPEC, 1, [6], activation="tanh"),
)
WAVES = (
    partial(wavenet_iaf, SOUND, [2], channels=4, last_scale=0.5),
    partial(wavenet, SOUND, layers=2, cycles=1, channels=4),
)
LOGISTIC = (
    partial(WAVES[0], base=Logistic()),
    partial(WAVES[1], head=partial(MixtureOfLogistics, 2)),
)
SPECTRA = {
    "power": partial(PowerLoss, 16),
    "log-mel": partial(LogMelDistance, LogMel(4, 16, 16, 4, high=None, floor=1e-9)),
    "power, logarithm": partial(PowerLoss, 16, form="log"),
    "several resolutions": partial(MultiResolutionSTFT, [16, 32]),
}

CASES: dict[str, tuple[Callable[[], Any], tuple[Callable, Callable], int]] = {
    "reverse": (ReverseKL, FLOWS, 3),
    "tempered": (partial(ReverseKL, 0.3), FLOWS, 3),
    "forward": (ForwardKL, FLOWS, 3),
    "Jensen-Shannon": (JensenShannon, FLOWS, 3),
    "contrastive": (partial(Contrastive, 0.5, 1e9), FLOWS, 3),
    "free entropy": (partial(FreeEntropyKL, 2), LOGISTIC, 5),
    "closed form": (GaussianKL, WAVES, 5),
    "closed form, other way": (partial(GaussianKL, reverse=False), WAVES, 5),
    "sum": (lambda: WeightedSum({"a": ReverseKL(), "b": JensenShannon()}), FLOWS, 3),
}


@pytest.mark.parametrize("name", CASES)
def test_the_loss_has_right_derivatives_of_both_orders(name):
    objective, (make_student, make_teacher), sites = CASES[name]
    torch.manual_seed(0)
    student, teacher = make_student().double(), freeze(make_teacher().double())
    randomized(student)
    # A bias near the data becomes an input of the loss, so that each objective depends on one.
    owner = [m for m in student.modules() if getattr(m, "bias", None) is not None][-1]
    start = owner._parameters.pop("bias").detach()
    noise = student.base.sample((2, sites), dtype=torch.float64).requires_grad_()
    features = {"c": torch.randn(2, 1, dtype=torch.float64)} if student.spec.features else None
    batch = Batch(torch.randn(2, sites, dtype=torch.float64), features)
    made = objective()
    made.check(student, teacher)

    def loss(noise, shift):
        torch.manual_seed(1)  # the same redraws and teacher samples each time
        owner.bias = start + shift
        draw = student.draw(noise, features)
        # The forward KL reads the batch alone, so the noise enters by a term of its own.
        return made(draw, student, teacher, batch, 0.5).value + draw.x.square().mean()

    shift = torch.zeros_like(start).requires_grad_()
    assert gradcheck(loss, (noise, shift), fast_mode=True)
    assert gradgradcheck(loss, (noise, shift), fast_mode=True)


@pytest.mark.parametrize("name", SPECTRA)
def test_spectral_losses_have_right_derivatives_of_both_orders(name):
    torch.manual_seed(0)
    made = SPECTRA[name]().double()
    student, teacher = WAVES[0]().double(), freeze(WAVES[1]().double())
    batch = Batch(torch.randn(2, 48, dtype=torch.float64))
    draw = student.draw(torch.randn(2, 48, dtype=torch.float64))

    def loss(x):
        return made(replace(draw, x=x), student, teacher, batch, 0.5).value

    x = torch.randn(2, 48, dtype=torch.float64, requires_grad=True)
    assert loss(x).dtype == torch.float64
    assert gradcheck(loss, x, fast_mode=True)
    assert gradgradcheck(loss, x, fast_mode=True)


@pytest.mark.parametrize(
    "objective", [ReverseKL, ForwardKL, JensenShannon, Contrastive, FreeEntropyKL, GaussianKL]
)
def test_a_teacher_of_levels_is_refused_by_every_divergence(objective):
    spec = DataSpec(sites=None, features={"c": FeatureSpec("vector", 1)})
    teacher = wavenet(DataSpec(sites=None), head=MuLaw, layers=1)
    student = wavenet_iaf(DataSpec(sites=None), flows=[1])
    student.spec = spec  # Contrastive asks for features first
    with pytest.raises(ValueError, match=r"Mu.?Law"):
        objective().check(student, teacher)
    both = WeightedSum({"a": objective()})
    with pytest.raises(ValueError, match=r"Mu.?Law"):
        both.check(student, teacher)


def test_a_contrast_of_one_value_with_itself_is_refused():
    student, teacher = FLOWS[0](), FLOWS[1]()
    features = {"c": torch.randn(1, 1)}
    draw = student.draw(student.noise(1), features)
    with pytest.raises(ValueError, match="at least 2 values"):
        Contrastive()(draw, student, teacher, Batch(draw.x, features), 0.0)


def test_a_pool_below_zero_is_refused():
    with pytest.raises(ValueError, match="JensenShannon: pool: wanted a whole number of 0"):
        JensenShannon(pool=-1)
