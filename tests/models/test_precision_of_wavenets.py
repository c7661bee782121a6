"""Log-probs of WaveNets in float64, float32 and mixed bfloat16, side by side."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from distill.contract import Batch, DataSpec
from distill.data.audio import Tones
from distill.distributions import MixtureOfLogistics
from distill.models import Density, Flow, wavenet, wavenet_iaf, whitening
from distill.networks import HarmonicEncoder, WaveNet

SIZES = {"channels": 48, "encoder": partial(HarmonicEncoder, mode="repeat", channels=16)}
TEACHER = {**SIZES, "layers": 8, "cycles": 2}
STUDENT = {**SIZES, "flows": [4, 4], "cycle": 4, "kernel": 2}
WHITE = {"outer": partial(whitening, order=32), "pitch_taps": 3}


class Row(NamedTuple):
    """A model, and how far a site's log-prob may be from float64's, in nats: mean, spread, worst.

    `single` is the worst of float32, the others are of mixed precision.
    """

    build: Callable[[DataSpec], Density]
    single: float
    mean: float
    spread: float
    worst: float


TABLE = {
    "wavenet": Row(partial(wavenet, **TEACHER), 1e-3, 0.01, 0.03, 0.6),
    "wavenet, whitened blocks": Row(
        partial(wavenet, **TEACHER, **WHITE, block=4), 1e-3, 1e-3, 0.01, 0.2
    ),
    "wavenet of logistics": Row(
        partial(wavenet, **TEACHER, head=partial(MixtureOfLogistics, 3)), 1e-3, 1e-3, 0.015, 0.1
    ),
    "wavenet_iaf": Row(partial(wavenet_iaf, **STUDENT), 1e-3, 1e-3, 0.015, 0.1),
    "wavenet_iaf, whitened blocks": Row(
        partial(wavenet_iaf, **STUDENT, **WHITE, block=8), 1e-3, 1e-3, 0.015, 0.1
    ),
}


@pytest.fixture(scope="module")
def data() -> Tones:
    return Tones(count=4, seconds=0.5, conditions=["mel", "f0", "phase"])


@pytest.fixture(scope="module")
def batch(data: Tones) -> Batch:
    return data.train_batch(0, 2, 0)


@pytest.fixture(scope="module")
def spec(data: Tones) -> DataSpec:
    return data.spec


def model(name: str, spec: DataSpec) -> Density:
    """A model that predicts: its last layers count, and its densities are sharp."""
    torch.manual_seed(0)
    made = TABLE[name].build(spec).requires_grad_(False).eval()
    for net in made.modules():
        if isinstance(net, WaveNet):
            for layer in net.layers:
                layer.taps.weight.mul_(2)
                layer.out.weight.mul_(2)
            nn.init.normal_(net.hidden.weight, std=(2 / 48) ** 0.5)
            nn.init.normal_(net.last.weight, std=48**-0.5)
    return made


def log_prob(made: Density, batch: Batch, dtype: torch.dtype) -> Tensor:
    """Score by the core: a teacher given values, a student its own draw of given noise."""
    made = made.to(dtype)
    context = made.context(batch.features)
    torch.manual_seed(1)
    if isinstance(made, Flow):
        noise = torch.randn(batch.x.shape, dtype=torch.float64).to(dtype)
        return made.core.draw(noise, context).log_prob.double()
    e, _ = made.inward(batch.x.to(dtype), context)
    return made.core.log_prob(e, context).double()


@pytest.mark.parametrize("name", TABLE)
def test_precisions_agree_to_the_stated_tolerances(name, batch, spec):
    row, made = TABLE[name], model(name, spec)
    exact = log_prob(copy.deepcopy(made), batch, torch.float64)
    single = log_prob(made, batch, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = log_prob(made, batch, torch.float32)
    # A crop begins without its past: whitened without it, its first sites are far from the others.
    single, mixed = ((value - exact)[:, 64:] for value in (single, mixed))
    assert 0 < single.abs().max() < row.single
    assert single.abs().max() < mixed.abs().max() < row.worst
    assert mixed.mean().abs() < row.mean
    assert mixed.std() < row.spread


@pytest.mark.parametrize("name", TABLE)
def test_gradients_in_mixed_precision_point_the_same_way(name, batch, spec):
    gradients = []
    for mixed in (False, True):
        made = model(name, spec).requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, mixed):
            log_prob(made, batch, torch.float32)[:, 64:].mean().backward()
        found = [p.grad.flatten() for p in made.parameters() if p.grad is not None]
        gradients.append(torch.cat(found))
    full, half = gradients
    assert torch.cosine_similarity(full, half, 0) > 0.99
    assert abs(half.norm() / full.norm() - 1) < 0.05
