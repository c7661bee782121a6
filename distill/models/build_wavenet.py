"""Builders of WaveNet teachers and WaveNet-IAF students."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from distill.bijectors import Affine, Autoregressive, Bijector, Chain, Standardize
from distill.checks import check_number, check_several
from distill.contract import DataSpec
from distill.distributions import Base, GaussianHead, Head
from distill.models.autoregressive import AutoregressiveDensity
from distill.models.flow import Flow
from distill.models.outer import standardization
from distill.models.recipe import builder
from distill.models.settings import check_factory
from distill.networks import FrameEncoder, VectorEncoder, WaveNet

_LOWEST_PITCH = 65.0  # Hz, where the data does not say


@builder
def wavenet(
    spec: DataSpec,
    head: Callable[[], Head] = GaussianHead,
    encoder: Callable[..., nn.Module] = FrameEncoder,
    layers: int = 10,
    cycles: int = 1,
    kernel: int = 2,
    channels: int = 64,
    gate_channels: int | None = None,
    skip_channels: int | None = None,
    block: int = 1,
    pitch_taps: int = 0,
    pitch_periods: int = 1,
    outer: Callable[[DataSpec], Bijector] | None = None,
    last_scale: float = 0.1,
    recompute: bool | str = False,
) -> AutoregressiveDensity:
    """Build a WaveNet teacher: parallel likelihood, sequential sampling.

    Arguments:
        spec: The data's location and scale, features, rate and hop. Network and head work with
            standardized values; a head of levels sees those of [-1, 1].
        head: Factory of the output distribution.
        encoder: Factory of the encoder of frame features, taking the spec.
        layers: Number of gated layers.
        cycles: How many times the dilations start again at 1.
        kernel: Taps of each layer.
        channels: Residual channels.
        gate_channels: Channels after the gate, `channels` by default.
        skip_channels: Channels of the skips, `channels` by default, 0 for none.
        block: Sites that the network computes at once; those of a block are predicted linearly
            from each other.
        pitch_taps: Sites read around the one a pitch period ago, 0 for none.
        pitch_periods: How many periods ago they are read; noise averages out over several.
        outer: Factory of the bijector that students may share, taking the spec: whitening by
            `LinearPrediction`, say. It carries values of unit scale to data.
        last_scale: Factor of the initial last layer: near 0, an untrained teacher is the head's
            own start, carried to data by the outer bijector.
        recompute: Trade time for memory where a gradient passes: keep what is between layers alone.

    Errors:
        ValueError: A head of levels beside data of several scales.

    Source: van den Oord et al., WaveNet, 2016, arXiv 1609.03499.

    Example:
        >>> teacher = wavenet(DataSpec(sites=None), layers=4, channels=8)
        >>> teacher.sample(2, sites=16).shape
        torch.Size([2, 16])
    """
    check_factory("head", head, "GaussianHead")
    made_head, made_outer = head(), _outer(spec, outer)
    made_encoder = _encoder(spec, encoder, made_outer)
    units, scale = (None, 1.0) if made_outer else _units(spec, made_head)
    made_head.start_at(scale)
    conditioner = WaveNet(
        made_head.parameters_per_site,
        layers,
        cycles,
        kernel,
        channels,
        gate_channels,
        skip_channels,
        **_context_of(made_encoder),
        input_scale=1 / scale,
        last_scale=last_scale,
        block=block,
        locations=made_head.locations,
        **_pitch(spec, pitch_taps, pitch_periods),
        recompute=recompute,
    )
    return AutoregressiveDensity(conditioner, made_head, spec, made_encoder, made_outer, units)


@builder
def wavenet_iaf(
    spec: DataSpec,
    flows: Sequence[int] = (10, 10, 10, 30),
    cycle: int = 10,
    bound: float | None = 4.0,
    start_scale: float | None = None,
    base: Base | None = None,
    encoder: Callable[..., nn.Module] = FrameEncoder,
    kernel: int = 3,
    channels: int = 64,
    gate_channels: int | None = None,
    skip_channels: int | None = 0,
    last_scale: float = 0.0,
    recompute: bool | str = False,
    block: int = 1,
    pitch_taps: int = 0,
    pitch_periods: int = 1,
    outer: Callable[[DataSpec], Bijector] | None = None,
) -> Flow:
    """Build a student of several WaveNet IAFs: one parallel pass gives sample, loc and scale.

    No permutation stands between the flows, so that each site's conditional stays a location and a
    scale. Every flow starts at its identity; the last step scales to data units, so the student
    starts near (0, `start_scale`).

    Arguments:
        spec: The data's scale, features, rate and hop.
        flows: Layers of each flow.
        cycle: Layers after which the dilations start again at 1.
        bound: Largest log-scale of one flow, in nats.
        start_scale: Scale of the untrained student, the data's by default.
        base: Distribution of the noise.
        encoder: Factory of the encoder of frame features, taking the spec.
        kernel: Taps of each layer.
        channels: Residual channels.
        gate_channels: Channels after the gate, `channels` by default.
        skip_channels: Channels of the skips, 0 for none, as in the paper; `None` for `channels`.
        last_scale: Factor of the initial last layer of each flow: 0 starts it at its identity.
        recompute: Trade time for memory where a gradient passes: keep what is between flows alone.
        block: Sites that the networks compute at once; it need not be the teacher's.
        pitch_taps: Sites of each flow's input read around the one a pitch period ago, 0 for none.
        pitch_periods: How many periods ago they are read.
        outer: Factory of the teacher's outer bijector, taking the spec; the student is then
            distilled before it.

    Source: van den Oord et al., Parallel WaveNet, 2017, arXiv 1711.10433.

    Example:
        >>> student = wavenet_iaf(DataSpec(sites=None), flows=[4, 4], cycle=4, channels=8)
        >>> student.draw(student.noise(2, sites=16)).loc.shape
        torch.Size([2, 16])
    """
    check_several("flows", flows)
    check_number("cycle", cycle, low=1, whole=True)
    made_outer = _outer(spec, outer)
    made_encoder = _encoder(spec, encoder, made_outer)
    layers: list[Bijector] = []
    for count in flows:
        net = WaveNet(
            2,
            count,
            max(1, math.ceil(count / cycle)),
            kernel,
            channels,
            gate_channels,
            skip_channels,
            **_context_of(made_encoder),
            last_scale=last_scale,
            block=block,
            locations=Affine.locations,
            **_pitch(spec, pitch_taps, pitch_periods),
        )
        layers.append(Autoregressive(net, Affine(bound)))
    loc, scale = ((0.0,), (1.0,)) if made_outer else (spec.loc, spec.scale)
    start = scale if start_scale is None else (start_scale,) * len(scale)
    layers.append(Standardize(loc, start))
    return Flow(Chain(layers, recompute), spec, base, made_encoder, made_outer)


def _units(spec: DataSpec, head: Head) -> tuple[Standardize | None, float]:
    """Return what standardizes the data, or else the scale that a head of levels starts at."""
    if not head.sees_levels:
        plain = set(spec.loc) == {0.0} and set(spec.scale) == {1.0}
        return (None if plain else standardization(spec)), 1.0
    if len(spec.scale) > 1:
        raise ValueError(
            f"wavenet: wanted data of one scale beside {type(head).__name__}, whose levels are "
            f"those of [-1, 1], got one for each of {len(spec.scale)} sites. Choose a head without "
            "levels (GaussianHead, LogisticHead, a mixture without bins)."
        )
    return None, spec.scale[0]


def _outer(spec: DataSpec, outer: Callable[[DataSpec], Bijector] | None) -> Bijector | None:
    if outer is None:
        return None
    check_factory("outer", outer, "standardization")
    return outer(spec)


def _encoder(
    spec: DataSpec, frame_encoder: Callable[..., nn.Module], outer: Bijector | None
) -> nn.Module | None:
    """Build the encoder, which also predicts what the outer bijector reads of the context."""
    check_factory("encoder", frame_encoder, "FrameEncoder")
    if not spec.features:
        return None
    kinds = {feature.kind for feature in spec.features.values()}
    if "frames" not in kinds:
        return VectorEncoder(spec)
    order = getattr(outer, "order", 0)
    return frame_encoder(spec, prediction=order) if order else frame_encoder(spec)


def _context_of(encoder: nn.Module | None) -> dict[str, Any]:
    if encoder is None:
        return {}
    return {
        "context_channels": int(encoder.channels),  # type: ignore[arg-type]
        "source_channels": getattr(encoder, "source_channels", 0),
    }


def _pitch(spec: DataSpec, taps: int, periods: int) -> dict[str, Any]:
    """Return what a network reads of its own past by the pitch."""
    check_number("pitch_periods", periods, low=1, high=100, whole=True)
    longest = _longest_period(spec) * periods if taps else 0
    return {"pitch_taps": taps, "longest_lag": longest, "pitch_periods": periods}


def _longest_period(spec: DataSpec) -> int:
    if spec.sample_rate is None:
        raise ValueError(
            "pitch_taps: wanted data with a sample rate, whose pitch is known; got values without "
            "one. Leave pitch_taps at 0."
        )
    return math.ceil(spec.sample_rate / spec.settings.get("pitch", {}).get("low", _LOWEST_PITCH))
