"""Frame encoder with a harmonic source: sines that run along the fundamental frequency."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from distill.contract import Context, DataSpec
from distill.networks.frame_encoder import FrameEncoder, State

_NEEDED = ("f0", "phase")
_LOUDEST = 4.0  # nepers


class HarmonicEncoder(FrameEncoder):
    r"""A `FrameEncoder` whose context also carries the harmonics of F0, site by site.

    $$s_h(t) = [h f_0(t) < r / 2]\,(\cos 2\pi h\varphi(t),\ \sin 2\pi h\varphi(t)),\qquad
      \varphi(f H + i) = \varphi_f + i f_0 / r$$

    with the sample rate r, the hop H, and the phase $\varphi_f$ of the fundamental at the start of
    frame f; nothing sounds where it is not voiced. Beside them run `voices`: sums of all harmonics
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

    Source: after the excitation of Wang et al., Neural source-filter waveform models, 2019, arXiv
    1904.12088, and the oscillators of Engel et al., DDSP, 2020, arXiv 2001.04643; log-F0 as a
    condition: van den Oord et al., 2017, arXiv 1711.10433.

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
                "data.conditions=[mel,f0,phase], or use FrameEncoder."
            )
        if harmonics < 1 or voices < 0:
            raise ValueError(
                f"HarmonicEncoder: wanted harmonics >= 1 and voices >= 0, got {harmonics} and "
                f"{voices}."
            )
        sizes, names = list(framed.values()), list(framed)
        self._f0, self._phase = (sum(sizes[: names.index(name)]) for name in _NEEDED)
        self._rate, self._frame = spec.sample_rate, spec.hop
        self.harmonics, self.voices = harmonics, voices
        self.source_channels = 2 * harmonics + voices
        self.mixing = nn.Linear(self.channels, voices * 2 * harmonics) if voices else None
        self.loudness = nn.Linear(self.channels, voices) if voices else None

    def _encode(self, state: State, frames: Tensor, beside: list[Tensor]) -> tuple[Context, State]:
        context, after = super()._encode(state, frames, beside)
        assert context.rows is not None
        seen = torch.cat([state[0], frames], 1)
        now = seen[:, self.reach - self.latency :][:, : frames.shape[1]]
        step = now[..., self._f0].exp() / self._rate
        source = self._source(step, now[..., self._phase], now[..., self._phase + 1])
        source = source.unflatten(1, (context.rows.shape[1], self.hop))
        source = torch.cat([source, *self._sung(context.rows, source)], -1).flatten(1, 2)
        voiced = now[..., self._f0 + 1] > 0
        lag = torch.where(voiced, 1 / step, 0).repeat_interleave(self._frame, 1)
        return Context(context.rows, context.hop, source, lag), after

    def _sung(self, rows: Tensor, source: Tensor) -> list[Tensor]:
        """Return the voices `(B, R, hop, voices)`, if there are any."""
        if self.mixing is None or self.loudness is None:
            return []
        weights = self.mixing(rows).unflatten(-1, (self.voices, -1)).to(source.dtype)
        gain = (_LOUDEST * torch.tanh(self.loudness(rows) / _LOUDEST)).exp().to(source.dtype)
        # Elementwise: in half precision a product of matrices would add noise to every voice.
        sums = (source[:, :, :, None] * weights[:, :, None]).sum(-1)
        return [sums * gain[:, :, None]]

    def _source(self, step: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Return `(B, F * spec.hop, 2 harmonics)`: powers of the turning phase."""
        site = torch.arange(self._frame, dtype=step.dtype, device=step.device)
        angle = 2 * math.pi * step[..., None] * site
        c, s = angle.cos(), angle.sin()
        first = (
            (cosine[..., None] * c - sine[..., None] * s),
            (cosine[..., None] * s + sine[..., None] * c),
        )
        a, b = first
        waves = []
        for order in range(1, self.harmonics + 1):
            heard = (order * step < 0.5)[..., None]
            waves += [a * heard, b * heard]
            a, b = a * first[0] - b * first[1], a * first[1] + b * first[0]
        return torch.stack(waves, -1).flatten(1, 2)
