"""Imputation of F0 and phase where they are not given, exact in chunks."""

from __future__ import annotations

import math
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from distill import rows
from distill.contract import DataSpec
from distill.networks.frame_features import channels_of, is_centered
from distill.networks.pitch_contour import pitch_contour
from distill.networks.pitch_estimator import PitchEstimator

State = tuple[Tensor, ...]
_GIVEN = ("f0", "phase")
_NOISE, _LEVEL = 0.4, 0.25  # of a standardized frame


class MissingPitch(nn.Module):
    """Put an estimate where the feature `f0` is NaN.

    The estimate of frame f sees the other features up to frame f + latency, and it passes no
    gradient on: only `loss` trains it. F frames go in, and F frames come out, `latency` before
    them. The state is the frames beside the next one.

    Arguments:
        spec: With `f0` and other features at frame rate, a mel.
        ahead: Frames that an estimate sees after its own.

    Attributes:
        latency: As given.
        states: Number of tensors of a state.
        places: Columns of the frames that an estimate sees.

    Example:
        >>> from distill.contract import FeatureSpec
        >>> mel, f0 = FeatureSpec("frames", 3), FeatureSpec("frames", 2, optional=True)
        >>> missing = MissingPitch(DataSpec(None, features={"mel": mel, "f0": f0}), ahead=1)
        >>> frames = torch.tensor([[[0.0, 0.0, 0.0, torch.nan, torch.nan]] * 6])
        >>> filled, _ = missing.run(missing.start(frames), frames[:, 1:])
        >>> filled.shape, bool(filled.isnan().any())
        (torch.Size([1, 5, 5]), False)
    """

    loc: Tensor
    scale: Tensor
    states = 1

    def __init__(self, spec: DataSpec, ahead: int) -> None:
        super().__init__()
        places = channels_of(spec)
        self._f0 = places["f0"]
        inputs = {name: place for name, place in places.items() if name not in _GIVEN}
        self.places = list(inputs.values())
        own = [spec.features[name] for name in inputs]
        size = sum(feature.size for feature in own)
        self.estimator = PitchEstimator(spec, size, ahead=ahead)
        self.latency, self._beside = ahead, self.estimator.reach
        loc = [number for f in own for number in f.loc or [0.0] * f.size]
        scale = [number for f in own for number in f.scale or [1.0] * f.size]
        self.register_buffer("loc", torch.tensor(loc), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)

    def start(self, frames: Tensor) -> State:
        """Return the state before frame 0, from the first `latency` frames, and one at least."""
        before = frames[:, :1].expand(-1, self._beside - self.latency, -1)
        return (torch.cat([before, frames[:, : self.latency]], 1),)

    def run(self, state: State, frames: Tensor) -> tuple[Tensor, State]:
        """Fill the next frames `(B, F, size)`, all features side by side."""
        count = frames.shape[1]
        seen = torch.cat([state[0], frames], 1)
        estimate = self.estimator(self._standardized(seen)).detach()
        own = seen[:, self._beside - self.latency :][:, :count]
        f0 = own[..., self._f0]
        f0 = torch.where(f0.isnan(), estimate.to(f0.dtype), f0)
        filled = torch.cat([own[..., : self._f0.start], f0, own[..., self._f0.stop :]], -1)
        return filled, (seen[:, count:].contiguous(),)

    def loss(self, frames: Tensor) -> dict[str, Tensor]:
        """Return what `PitchEstimator.loss` says of values `(B, F, size)`.

        Of long ones only the frames whose neighbors are there too are judged: the others would see
        the ends repeated, as nowhere in the middle of a sound. In training the frames are off by
        noise, alone and all together, or a small corpus would be learnt by heart.
        """
        f0 = frames[..., self._f0]
        if frames.shape[1] > 2 * self._beside:
            seen = self._standardized(frames)
            f0 = f0[:, self._beside - self.latency : frames.shape[1] - self.latency]
        else:
            seen = self._around(frames)
        if self.training:
            normal = partial(torch.randn, device=seen.device, dtype=seen.dtype)
            level = rows.drawn(normal, (len(seen), 1, 1), seen.device)
            noise = rows.drawn(normal, tuple(seen.shape), seen.device)
            seen = seen + _NOISE * noise + _LEVEL * level
        return self.estimator.loss(seen, f0)

    def accuracy(self, frames: Tensor) -> dict[str, float]:
        """Return what `PitchEstimator.accuracy` says of whole values `(B, F, size)`."""
        return self.estimator.accuracy(self._around(frames), frames[..., self._f0])

    def _around(self, frames: Tensor) -> Tensor:
        before = frames[:, :1].expand(-1, self._beside - self.latency, -1)
        after = frames[:, -1:].expand(-1, self.latency, -1)
        return self._standardized(torch.cat([before, frames, after], 1))

    def _standardized(self, frames: Tensor) -> Tensor:
        inputs = torch.cat([frames[..., place] for place in self.places], -1)
        return (inputs - self.loc) / self.scale


class MissingPhase(nn.Module):
    r"""Put the phase that F0 adds up to where the feature `phase` is NaN.

    $$\Phi_{f+1} = \Phi_f + H (b_f + e_f) / 2r \pmod 1$$

    with the frequencies b and e at both ends of a frame (`pitch_contour`), the hop H and the
    rate r. It
    starts at 0; where a phase is given, the sum goes on from there. The state is step and voicing
    of the last two frames, `(B, 2, 2)`, and the turns of the last one, `(B, 1)`, in float64.

    Arguments:
        spec: With `f0` and `phase`, and a sample rate.

    Attributes:
        latency: None.
        states: Number of tensors of a state.

    Example:
        >>> from distill.contract import FeatureSpec
        >>> two = FeatureSpec("frames", 2)
        >>> spec = DataSpec(None, features={"f0": two, "phase": two}, sample_rate=8000, hop=10)
        >>> frame = [math.log(200.0), 1.0, torch.nan, torch.nan]
        >>> frames, missing = torch.tensor([[frame] * 3]), MissingPhase(spec)
        >>> filled, _ = missing.run(missing.start(frames), frames)
        >>> filled[0, :, 2].round(decimals=1).abs().tolist()  # 200 Hz: a quarter turn a frame
        [1.0, 0.0, 1.0]
    """

    latency = 0
    states = 2

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        places = channels_of(spec)
        self._f0, self._phase = places["f0"], places["phase"]
        self._rate, self._hop = cast(int, spec.sample_rate), spec.hop
        self._centered = is_centered(spec)

    def start(self, frames: Tensor) -> State:
        """Return the state before frame 0."""
        past = torch.zeros(frames.shape[0], 2, 2, dtype=torch.float64, device=frames.device)
        return past, past[:, 0, :1].clone()

    def run(self, state: State, frames: Tensor) -> tuple[Tensor, State]:
        """Fill the next frames `(B, F, size)`, all features side by side, F0 without NaN."""
        f0, phase = frames[..., self._f0].double(), frames[..., self._phase]
        new = torch.stack([f0[..., 0].exp() / self._rate, (f0[..., 1] > 0).double()], -1)
        past = torch.cat([state[0], new], 1)
        line = pitch_contour(past[..., 0], past[..., 1] > 0, self._centered)
        turns = state[1] + line.turns(self._hop).cumsum(1)
        known = (phase.square().sum(-1) > 0).to(torch.int64)
        measured = torch.atan2(phase[..., 1], phase[..., 0]).double() / (2 * math.pi)
        apart = torch.where(known > 0, measured - turns, 0)
        # The frames since each given phase share its index, and so what it was apart by.
        index = known.cumsum(1)
        offsets = torch.cat([torch.zeros_like(state[1]), torch.zeros_like(turns)], 1)
        turns = turns + offsets.scatter_add(1, index, apart).gather(1, index)
        turns = turns - turns.floor()
        angle = 2 * math.pi * turns
        made = torch.stack([angle.cos(), angle.sin()], -1) * new[..., 1:]
        phase = torch.where(phase.isnan(), made.to(phase.dtype), phase)
        before, after = frames[..., : self._phase.start], frames[..., self._phase.stop :]
        filled = torch.cat([before, phase, after], -1)
        return filled, (past[:, -2:].contiguous(), turns[:, -1:].contiguous())


def fillers(spec: DataSpec, look_ahead: int, pitch_ahead: int) -> list[nn.Module]:
    """Return what fills the optional features, in this order.

    Arguments:
        spec: Of the data.
        look_ahead: Of the encoder that is to read them.
        pitch_ahead: Frames that an estimate of F0 sees after its own.

    Errors:
        ValueError: Optional features that nothing estimates.
    """
    optional = [name for name, feature in spec.features.items() if feature.optional]
    if not optional:
        return []
    framed = {name: f.size for name, f in spec.features.items() if f.kind == "frames"}
    known = all(framed.get(name) == 2 for name in optional) and not set(optional) - {"f0", "phase"}
    sources = {
        "f0": set(framed) - {"f0", "phase"},
        "phase": framed.get("f0") == 2 and spec.sample_rate,
    }
    if not known or not all(sources[name] for name in optional) or look_ahead < 1:
        raise ValueError(
            "FrameEncoder: wanted optional features among f0 and phase, a mel beside f0, f0 and a "
            f"sample rate beside phase, and look_ahead >= 1; got optional {', '.join(optional)} "
            f"among {', '.join(spec.features)}, look_ahead={look_ahead}. Set data.conditions=[mel] "
            "and data.optional=[f0,phase]."
        )
    parts: list[nn.Module] = [MissingPitch(spec, pitch_ahead)] if "f0" in optional else []
    return parts + ([MissingPhase(spec)] if "phase" in optional else [])
