"""Harmonics and voices by compiled loops: their numbers and gradients are those of operations."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from distill.contract import DataSpec, FeatureSpec
from distill.kernels.choice import plain_twins
from distill.networks import HarmonicEncoder
from distill.networks.harmonic_source import HarmonicSource
from distill.networks.pitch_contour import PitchContour

TWO = FeatureSpec("frames", 2)
HOP = 6


def encoder(**settings) -> HarmonicEncoder:
    spec = DataSpec(
        None, features={"f0": TWO, "phase": TWO}, sample_rate=4000, hop=HOP, settings={}
    )
    torch.manual_seed(0)
    return HarmonicEncoder(spec, **{"harmonics": 5, "voices": 2, "mode": "repeat", **settings})


def features(batch: int = 2, frames: int = 7) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    f0 = torch.rand(batch, frames, 2, generator=generator)
    f0 = torch.stack([math.log(300.0) + f0[..., 0], (f0[..., 1] > 0.2).float()], -1)
    angle = 2 * math.pi * torch.rand(batch, frames, generator=generator)
    phase = torch.stack([angle.cos(), angle.sin()], -1) * f0[..., 1:]
    return {"f0": f0, "phase": phase}


def gradients(model: HarmonicEncoder) -> tuple[torch.Tensor, list[torch.Tensor]]:
    dtype = next(model.parameters()).dtype
    source = model({k: v.to(dtype) for k, v in features().items()}).source
    toward = torch.randn(source.shape, generator=torch.Generator().manual_seed(2)).to(dtype)
    return source.detach(), list(torch.autograd.grad((source * toward).sum(), model.parameters()))


@pytest.mark.parametrize(
    "settings",
    [{}, {"look_ahead": 0}, {"mode": "transposed", "rates": [3]}, {"mode": "transposed"}],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_source_and_gradients_are_those_of_operations(settings, dtype):
    model = encoder(**settings).to(dtype)
    source, compiled = gradients(model)
    with plain_twins():
        wanted, plain = gradients(model)
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(source, wanted, rtol=tolerance, atol=tolerance)
    for a, b in zip(compiled, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_inaudible_harmonics_are_silent():
    source = encoder(voices=0)(features()).source
    loud = source.unflatten(-1, (5, 2)).square().sum(-1)
    # 300 to 816 Hz at 4 kHz: the first always sounds while it is voiced, the fifth hardly ever.
    assert (loud[..., 0] > 0.5).any()
    assert (loud[..., 4] == 0).sum() > (loud[..., 0] == 0).sum()


def given(model: HarmonicEncoder) -> tuple:
    start, end, apart = torch.tensor([0.05, 0.06, 0.1]).double()[:, None, None].expand(3, 1, 3)
    phase = torch.tensor([[[1.0, 0.0]] * 3]).double()
    line = PitchContour(start, end, start > 0)
    plain = partial(model.source_by_operations, line, apart, phase)
    return plain, HOP, (start, end, apart, phase)


def test_gradients_of_both_orders_are_right():
    model = encoder().double()
    weights = torch.randn(1, 3, 2, 10, dtype=torch.float64, requires_grad=True)
    gain = (torch.rand(1, 3, 2, dtype=torch.float64) + 0.5).requires_grad_()

    def source(weights, gain):
        return HarmonicSource.apply(*given(model), weights, gain)

    assert torch.autograd.gradcheck(source, (weights, gain))
    assert torch.autograd.gradgradcheck(source, (weights, gain))


def test_frames_that_want_a_gradient_take_operations():
    model, values = encoder(), features()
    values["f0"].requires_grad_()
    source = model(values).source
    (found,) = torch.autograd.grad(source.square().sum(), values["f0"])
    assert found.abs().sum() > 0
