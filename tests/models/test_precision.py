"""Log-probs of the toy models in float64, float32 and bfloat16, side by side."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from distill.bijectors import RationalQuadraticSpline
from distill.data import Moons
from distill.models import Flow, coupling_flow, iaf, maf, nice
from distill.networks import MaskedLinear

_spline = partial(RationalQuadraticSpline)


class Row(NamedTuple):
    """A model, and how far its log-probs may be from float64's: the mean's and the worst's."""

    build: Callable[..., Flow]
    single: float
    mixed_mean: float
    mixed: float


TABLE = {
    "maf": Row(maf, 1e-4, 0.02, 0.4),
    "maf_spline": Row(partial(maf, layers=3, hidden=[64], transform=_spline), 5e-4, 0.02, 0.6),
    "maf_mog": Row(partial(maf, mixture=10), 1e-4, 0.02, 0.4),
    "iaf": Row(iaf, 1e-4, 0.02, 0.4),
    "iaf_spline": Row(partial(iaf, layers=3, hidden=[64], transform=_spline), 5e-4, 0.03, 0.8),
    "real_nvp": Row(partial(coupling_flow, layers=4), 1e-3, 0.06, 1.5),
    "nice": Row(partial(nice, layers=4), 1e-3, 0.06, 1.5),
}


@pytest.fixture(scope="module")
def points() -> Tensor:
    return Moons().train_batch(0, 512, 0).x


def model(name: str) -> Flow:
    """A model with weights of the size that training gives."""
    torch.manual_seed(0)
    made = TABLE[name].build(Moons().spec)
    for layer in made.modules():
        if isinstance(layer, MaskedLinear | nn.Linear):
            nn.init.normal_(layer.weight, std=layer.weight.shape[1] ** -0.5)
        if isinstance(layer, MaskedLinear):
            layer.mask_()
    return made.eval().requires_grad_(False)


def log_probs(name: str, points: Tensor) -> dict[str, Tensor]:
    flow = model(name)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = flow.log_prob(points)
    half = copy.deepcopy(flow).bfloat16().log_prob(points.bfloat16())
    exact = copy.deepcopy(flow).double().log_prob(points.double())
    rows = {"float64": exact, "float32": flow.log_prob(points), "mixed": mixed, "bfloat16": half}
    return {key: value.sum(1).double() for key, value in rows.items()}


@pytest.mark.parametrize("name", TABLE)
def test_precisions_agree_to_the_stated_tolerances(name, points):
    row, got = TABLE[name], log_probs(name, points)
    exact = got.pop("float64")
    assert all(value.isfinite().all() for value in got.values())
    errors = {key: value - exact for key, value in got.items()}
    assert errors["float32"].abs().max() < row.single
    assert errors["float32"].abs().max() > 0, "the table compares a model with itself"
    assert errors["mixed"].mean().abs() < row.mixed_mean
    assert errors["mixed"].abs().max() < row.mixed
    # Values rounded to 8 bits are other values: only the average is held to something.
    assert errors["bfloat16"].mean().abs() < 3 * row.mixed_mean


@pytest.mark.parametrize("name", TABLE)
def test_mixed_precision_gives_log_probs_and_gradients_in_float32(name, points):
    flow = model(name).requires_grad_(True)
    with torch.autocast("cpu", torch.bfloat16):
        log_prob = flow.log_prob(points)
    log_prob.mean().backward()
    assert log_prob.dtype == torch.float32
    assert all(p.grad is None or p.grad.isfinite().all() for p in flow.parameters())
