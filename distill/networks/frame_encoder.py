"""Encoder of features at frame rate, with labels and vectors beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distill.contract import DataSpec, Features
from distill.networks.upsample import (
    CausalStage,
    FrameConv,
    Interpolation,
    TransposedConv,
    two_factors,
)

_MODES = ("transposed", "linear", "repeat")


class FrameEncoder(nn.Module):
    """Features to a context `(B, F * spec.hop / hop, channels)`, each row held for `hop` sites.

    All `frames` features side by side (mel, F0) pass through convolutions at frame rate, then rise
    to the context's rate:

    - `transposed`: transposed convolutions, to `spec.hop / prod(rates)` sites a row (by default 1);
    - `linear`: interpolation, to one site a row;
    - `repeat`: not at all; a row stays for the `spec.hop` sites of its frame, the cheapest for a
      WaveNet, which projects the context before it repeats it.

    Labels (embedded) and vectors are then joined to every row. Frames and vectors are standardized
    by the `loc` and `scale` of their spec, where it has them. Every stage is causal; the whole is
    ahead by `latency` frames: the context of frame f depends on frames up to f + latency, the last
    frame standing for those after the end. `run` does the same for chunks with an explicit state
    and without the advance: what it returns for frame f is the context of frame f - latency.

    Arguments:
        spec: The data's features and hop.
        mode: `transposed`, `linear` or `repeat`.
        layers: Convolutions at frame rate.
        channels: Their channels.
        kernel: Frames that each of them sees.
        look_ahead: Frames of advance; with `layers` = n of kernel 3, n centers them.
        rates: Rates of the transposed convolutions; two factors of `spec.hop` by default.
        embedding: Channels of each label.

    Attributes:
        channels: Channels of the context: a WaveNet's `context_channels`.
        hop: Sites per row of the context: a WaveNet's `context_hop`.
        latency: Frames of look-ahead.

    Errors:
        ValueError: No feature at frame rate, an unknown mode, rates that do not divide the hop; a
            feature that is missing or has another shape than the spec says.

    Source: Ping et al., ClariNet, 2018, arXiv 1807.07281 (transposed).

    Example:
        >>> from distill.contract import FeatureSpec
        >>> features = {"mel": FeatureSpec("frames", 8), "speaker": FeatureSpec("label", 3)}
        >>> spec = DataSpec(sites=None, features=features, hop=12)
        >>> encoder = FrameEncoder(spec, mode="transposed", rates=[4], embedding=2)
        >>> context = encoder({"mel": torch.randn(2, 5, 8), "speaker": torch.tensor([0, 2])})
        >>> context.shape, encoder.channels, encoder.hop
        (torch.Size([2, 20, 10]), 10, 3)
    """

    def __init__(
        self,
        spec: DataSpec,
        mode: str = "transposed",
        layers: int = 0,
        channels: int = 64,
        kernel: int = 3,
        look_ahead: int = 1,
        rates: Sequence[int] | None = None,
        embedding: int = 16,
    ) -> None:
        super().__init__()
        self.features = dict(spec.features)
        frames = [f.size for f in self.features.values() if f.kind == "frames"]
        if not frames or mode not in _MODES or look_ahead < 0 or layers < 0:
            raise ValueError(
                "FrameEncoder: wanted a feature of kind frames, a mode among "
                f"{', '.join(_MODES)}, layers and look_ahead >= 0; got features "
                f"{', '.join(self.features) or 'none'}, mode={mode}, layers={layers}, "
                f"look_ahead={look_ahead}. Without frames, use VectorEncoder."
            )
        rates = [] if mode != "transposed" else two_factors(spec.hop) if rates is None else rates
        if spec.hop % math.prod(rates):
            raise ValueError(
                f"FrameEncoder: wanted rates whose product divides the hop {spec.hop}, got "
                f"{list(rates)}. {list(two_factors(spec.hop))} would do."
            )
        stages: list[CausalStage] = []
        width = sum(frames)
        for _ in range(layers):
            stages.append(FrameConv(width, channels, kernel))
            width = channels
        stages += [TransposedConv(width, rate) for rate in rates]
        if mode == "linear":
            stages.append(Interpolation(width, spec.hop))
        self.stages = nn.ModuleList(stages)
        widths = [sum(frames), *(stage.channels for stage in stages)]
        self._states = [(s.reach, w) for s, w in zip(stages, widths, strict=False)]
        self.embeddings = nn.ModuleDict(
            {
                name: nn.Embedding(feature.size, embedding)
                for name, feature in self.features.items()
                if feature.kind == "label"
            }
        )
        vectors = sum(f.size for f in self.features.values() if f.kind == "vector")
        self.channels = width + vectors + embedding * len(self.embeddings)
        self.rows_per_frame = math.prod(stage.rate for stage in stages)
        self.hop = spec.hop // self.rows_per_frame
        self.latency = look_ahead
        for name, feature in self.features.items():
            # Not persistent: they travel in the spec.
            loc, scale = torch.tensor(feature.loc or (0.0,)), torch.tensor(feature.scale or (1.0,))
            self.register_buffer(f"loc_{name}", loc, persistent=False)
            self.register_buffer(f"scale_{name}", scale, persistent=False)

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"channels={self.channels}, hop={self.hop}, latency={self.latency}"

    def forward(self, features: Features) -> Tensor:
        """Encode whole values."""
        x, beside = self._read(features)
        x = torch.cat([x, x[:, -1:].expand(-1, self.latency, -1)], 1)
        rows, _ = self._frames(self._zeros(x), x)
        return self._join(rows[:, self.latency * self.rows_per_frame :], beside)

    def zero_state(self, features: Features) -> tuple[Tensor, ...]:
        """Return the state before the first frame, for `run`."""
        return self._zeros(self._read(features)[0])

    def run(
        self, state: tuple[Tensor, ...], features: Features
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Encode the next frames; the rows are those of `latency` frames before.

        After the last frame, run it `latency` times more to get the rows that are due.
        """
        x, beside = self._read(features)
        rows, state = self._frames(state, x)
        return self._join(rows, beside), state

    def _zeros(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.new_zeros(x.shape[0], reach, width) for reach, width in self._states)

    def _frames(self, state: tuple[Tensor, ...], x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        after = []
        for stage, past in zip(self.stages, state, strict=True):
            assert isinstance(stage, CausalStage)
            x, past = stage.run(past, x)
            after.append(past)
        return x, tuple(after)

    def _join(self, rows: Tensor, beside: list[Tensor]) -> Tensor:
        parts = [value[:, None].expand(-1, rows.shape[1], -1) for value in beside]
        return torch.cat([rows, *parts], -1) if parts else rows

    def _read(self, features: Features) -> tuple[Tensor, list[Tensor]]:
        """Check the features; return frames side by side, and embedded labels and vectors."""
        frames: list[Tensor] = []
        beside: list[Tensor] = []
        for name, feature in self.features.items():
            value = None if features is None else features.get(name)
            dims, size = {"frames": (3, feature.size), "vector": (2, feature.size)}.get(
                feature.kind, (1, None)
            )
            if value is None or value.dim() != dims or (size and value.shape[-1] != size):
                wanted = {1: "(batch,)", 2: f"(batch, {size})", 3: f"(batch, frames, {size})"}[dims]
                raise ValueError(
                    f"FrameEncoder: feature {name!r} wanted shape {wanted}, got "
                    f"{'none' if value is None else tuple(value.shape)}. Pass what it was built "
                    f"for: {', '.join(self.features)}."
                )
            if dims == 1:
                beside.append(self.embeddings[name](value))
                continue
            loc, scale = getattr(self, f"loc_{name}"), getattr(self, f"scale_{name}")
            (frames if dims == 3 else beside).append((value.to(loc.dtype) - loc) / scale)
        return torch.cat(frames, -1), beside
