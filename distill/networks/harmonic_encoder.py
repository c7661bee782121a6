"""Frame encoder with a harmonic source: sines that run along the fundamental frequency."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.contract import Context, DataSpec
from distill.functional import in_full
from distill.kernels.choice import may_compile
from distill.networks.frame_encoder import FrameEncoder
from distill.networks.frame_features import channels_of, is_centered
from distill.networks.harmonic_source import HarmonicSource
from distill.networks.pitch_contour import PitchContour, pitch_contour

_NEEDED = ("f0", "phase")
LOUDEST = 4.0  # nepers


class HarmonicEncoder(FrameEncoder):
    r"""A `FrameEncoder` whose context also carries the harmonics of F0, site by site.

    $$s_h(t) = [h f_0(t) < r / 2]\,(\cos 2\pi h\varphi(t),\ \sin 2\pi h\varphi(t)),\qquad
      \varphi(f H + i) = \varphi_f + \tfrac{1}{r} \int_0^i f_0
      + (3 u^2 - 2 u^3)\,\delta_f,\quad u = i / H$$

    with the sample rate r, the hop H, and the phase $\varphi_f$ of the fundamental at the start of
    frame f. Within a voiced run $f_0$ is a line from frame to frame (`pitch_contour`), and
    $\delta_f$ is
    what it misses the next frame's phase by, so that phase and frequency have no jumps: a cubic
    phase. At the ends of a run, and without look-ahead, the frequency is held. Nothing sounds where
    it is not voiced. Beside them run `voices`: sums of all harmonics
    whose weights, and whose loudness, are functions of the row, that is, of the mel:

    $$v_k(t) = e^{g_k(c)} \sum_h w_{kh}(c) \cdot s_h(t)$$

    A network that is given its pitch as a wave need not find it in its own history, which takes a
    small WaveNet very long: its samples keep to the pitch, and a student need not turn independent
    noise into periodic sound. The voices spare its gated layers the products, at which they are
    poor, and come near the voiced part of the sound by themselves.

    The context's `source` holds waves and voices, `(B, T, source_channels)`; its `lag` the sites of
    one pitch period.

    Arguments:
        spec: With frames of `f0` (log Hz, voicing) and `phase` (cosine and sine, 0 where unvoiced).
        harmonics: How many of them.
        voices: How many sums of them.
        settings: Those of `FrameEncoder`.

    Attributes:
        source_channels: 2 * harmonics + voices.

    Errors:
        ValueError: No `f0` or `phase`, or no sample rate; what `FrameEncoder` raises.

    Source: the cubic phase of McAulay and Quatieri, Speech analysis/synthesis based on a sinusoidal
    representation, 1986; after the excitation of Wang et al., Neural source-filter waveform models,
    2019, arXiv 1904.12088, and the oscillators of Engel et al., DDSP, 2020, arXiv 2001.04643;
    log-F0 as a condition: van den Oord et al., 2017, arXiv 1711.10433.

    Example:
        >>> from distill.contract import FeatureSpec
        >>> features = {"f0": FeatureSpec("frames", 2), "phase": FeatureSpec("frames", 2)}
        >>> spec = DataSpec(sites=None, features=features, sample_rate=8000, hop=4)
        >>> encoder = HarmonicEncoder(spec, harmonics=3, voices=2, mode="repeat")
        >>> frames = torch.tensor([[[5.0, 1.0]] * 7])
        >>> context = encoder({"f0": frames, "phase": torch.tensor([[[1.0, 0.0]] * 7])})
        >>> context.rows.shape, context.source.shape, encoder.source_channels
        (torch.Size([1, 7, 4]), torch.Size([1, 28, 8]), 8)
    """

    def __init__(
        self, spec: DataSpec, harmonics: int = 16, voices: int = 4, **settings: Any
    ) -> None:
        super().__init__(spec, **settings)
        framed = {name: f.size for name, f in spec.features.items() if f.kind == "frames"}
        if any(framed.get(name) != 2 for name in _NEEDED) or not spec.sample_rate:
            raise ValueError(
                "HarmonicEncoder: wanted the features f0 and phase of each frame and a sample "
                f"rate, got features {', '.join(spec.features) or 'none'}. Set "
                "data.conditions=[mel,f0,phase], or data.optional=[f0,phase] for a model that is "
                "to find them in the mel, or use FrameEncoder."
            )
        if harmonics < 1 or voices < 0:
            raise ValueError(
                f"HarmonicEncoder: wanted harmonics >= 1 and voices >= 0, got {harmonics} and "
                f"{voices}."
            )
        places = channels_of(spec)
        self._f0, self._phase = (places[name] for name in _NEEDED)
        self._rate, self._frame = spec.sample_rate, spec.hop
        self._centered = is_centered(spec)
        if self.look_ahead:
            self.reach = max(self.reach, self.look_ahead + 1)
        self.harmonics, self.voices = harmonics, voices
        self.source_channels = 2 * harmonics + voices
        self.mixing = nn.Linear(self.channels, voices * 2 * harmonics) if voices else None
        self.loudness = nn.Linear(self.channels, voices) if voices else None

    def _context(self, rows: Tensor, seen: Tensor, count: int) -> Context:
        line, phase, own = self._glide(seen, count)
        apart, turned = self._apart(line, phase), own[..., self._phase]
        frames = (line.start, line.end, apart, turned)
        weights, gain = self._voices(rows, seen.dtype)
        plain = partial(self.source_by_operations, line, apart, turned)
        if seen.requires_grad or not may_compile(*frames, weights, gain):
            source = plain(weights, gain)
        else:
            source = HarmonicSource.apply(plain, self._frame, frames, weights, gain)
        voiced = (own[..., self._f0.start + 1] > 0)[..., None]
        share = torch.arange(self._frame, dtype=seen.dtype, device=seen.device) / self._frame
        step = torch.lerp(line.start[..., None], line.end[..., None], share)
        lag = torch.where(voiced, 1 / step, 0).flatten(1)
        return Context(rows, self.hop, source, lag)

    def source_by_operations(
        self, line: PitchContour, apart: Tensor, phase: Tensor, weights: Tensor, gain: Tensor
    ) -> Tensor:
        """Return waves and voices `(B, T, source_channels)`.

        The plain twin of `distill.networks.harmonic_source`, differentiable as often as one likes.

        Arguments:
            line: Of F0, in turns per site.
            apart: Turns by which the next frame's phase differs from where the line arrives,
                `(B, F)`.
            phase: Cosine and sine at each frame's start, `(B, F, 2)`.
            weights: Of the waves in each voice, `(B, R, voices, 2 harmonics)`.
            gain: Of each voice, `(B, R, voices)`.
        """
        site = torch.arange(self._frame, dtype=apart.dtype, device=apart.device)
        share = site / self._frame
        bend = apart[..., None] * share.square() * (3 - 2 * share)
        turns = line.within(site, self._frame) + bend
        waves = self._waves(2 * math.pi * turns, phase, torch.maximum(line.start, line.end))
        # Rows of the context, of which a frame may have several.
        waves = waves.unflatten(-1, (-1, self.hop)).transpose(2, 3).flatten(1, 2)
        if self.voices:
            # In half precision the product would add noise to every voice.
            made = in_full(lambda: weights @ waves, waves) * gain[..., None]
            waves = torch.cat([waves, made], 2)
        return waves.mT.flatten(1, 2)

    def _glide(self, seen: Tensor, count: int) -> tuple[PitchContour, Tensor, Tensor]:
        """Return the line of F0, phases of the frames and the one after, and the frames."""
        first = seen.shape[1] - count - self.look_ahead
        if not self.look_ahead:
            own = seen[:, first:]
            step = own[..., self._f0.start].exp() / self._rate
            held = torch.zeros_like(step, dtype=torch.bool)
            return PitchContour(step, step, held), F.pad(own[..., self._phase], (0, 0, 0, 1)), own
        around = seen[:, first - 1 : first + count + 1]
        log_f0, voicing = around[..., self._f0].unbind(-1)
        line = pitch_contour(log_f0.exp() / self._rate, voicing > 0, self._centered)
        return line, around[:, 1:, self._phase], around[:, 1:-1]

    def _apart(self, line: PitchContour, phase: Tensor) -> Tensor:
        """Return by how many turns the next frame's phase differs from where the line arrives."""
        now, then = phase[:, :-1], phase[:, 1:]
        turned = torch.atan2(
            then[..., 1] * now[..., 0] - then[..., 0] * now[..., 1], (then * now).sum(-1)
        )
        apart = turned / (2 * math.pi) - line.turns(self._frame)
        # A phase that repeats the one before it bit for bit is that of a frame held at the end.
        told = line.joined & (then != now).any(-1)
        told = told & (now.square().sum(-1) > 0) & (then.square().sum(-1) > 0)
        return torch.where(told, apart - apart.round(), 0)

    def _voices(self, rows: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return weights `(B, R, voices, 2 harmonics)` and gains `(B, R, voices)` of the voices."""
        if self.mixing is None or self.loudness is None:
            none = rows.new_empty(*rows.shape[:2], 0, 2 * self.harmonics, dtype=dtype)
            return none, none[..., 0]
        weights = self.mixing(rows).unflatten(-1, (self.voices, -1)).to(dtype)
        gain = (LOUDEST * torch.tanh(self.loudness(rows) / LOUDEST)).exp().to(dtype)
        return weights, gain

    def _waves(self, angle: Tensor, start: Tensor, top: Tensor) -> Tensor:
        """Return `(B, F, 2 harmonics, spec.hop)`: powers of the turning phase.

        Sites come last: products with one number a frame, or a harmonic, then run along them.

        Arguments:
            angle: Since a frame's start, `(B, F, spec.hop)`.
            start: Cosine and sine at the start, `(B, F, 2)`.
            top: Highest frequency of each frame in turns per site, `(B, F)`.
        """
        c, s = angle.cos(), angle.sin()
        cosine, sine = start[..., :1], start[..., 1:]
        a, b = (cosine * c - sine * s)[:, :, None], (cosine * s + sine * c)[:, :, None]
        while (known := a.shape[2]) < self.harmonics:
            # The last power times all lower ones: twice as many a round, and few operations.
            low = slice(min(known, self.harmonics - known))
            last_a, last_b = a[:, :, -1:], b[:, :, -1:]
            more = a[:, :, low] * last_a - b[:, :, low] * last_b
            b = torch.cat([b, a[:, :, low] * last_b + b[:, :, low] * last_a], 2)
            a = torch.cat([a, more], 2)
        order = torch.arange(1, self.harmonics + 1, dtype=top.dtype, device=top.device)
        heard = (order * top[..., None] < 0.5)[..., None]
        return torch.stack([a * heard, b * heard], 3).flatten(2, 3)
