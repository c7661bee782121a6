"""Encoder of features at frame rate, with labels and vectors beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from distill.contract import Context, DataSpec, Features, FeatureSpec
from distill.networks.envelope import Envelope
from distill.networks.frame_features import channels_of
from distill.networks.given_features import given_features
from distill.networks.missing import MissingPhase, MissingPitch, State, fillers
from distill.networks.upsample import (
    CausalStage,
    FrameConv,
    Interpolation,
    TransposedConv,
    two_factors,
)

_MODES = ("transposed", "linear", "repeat")
_NONE = FeatureSpec("frames", 1)


class FrameEncoder(nn.Module):
    """Features to a context `(B, F * spec.hop / hop, channels)`, each row held for `hop` sites.

    All `frames` features side by side (mel, F0) pass through convolutions at frame rate, then rise
    to the context's rate:

    - `transposed`: transposed convolutions, to `spec.hop / prod(rates)` sites a row (by default 1);
    - `linear`: interpolation, to one site a row;
    - `repeat`: not at all; a row stays for the `spec.hop` sites of its frame, the cheapest for a
      WaveNet, which projects the context before it repeats it.

    Labels (embedded) and vectors are then joined to every row. Frames and vectors are standardized
    by the `loc` and `scale` of their spec, where it has them. The context of frame f depends on
    frames from f + latency - reach to f + latency; the first frame stands for those before the
    start, the last one for those after the end.

    Features that the spec calls optional, `f0` and `phase`, may hold NaN in any frame, or be left
    out. F0 is then estimated (`MissingPitch`), which takes `pitch_ahead` frames more of look-ahead,
    and phase is added up from F0 (`MissingPhase`). Where nothing is voiced, an optional log-F0
    counts as its mean. `loss` trains the estimate, `accuracy` judges it.

    `start` and `run` do the same for chunks. The state starts with the last `reach` frames
    themselves, `(B, reach, size)`, all features side by side, and it starts full: with the frames
    that stand before the start, and the first `look_ahead` frames; what fills missing features
    holds its own tensors behind. Every later frame then completes the context of the frame
    `latency` before it.

        state = encoder.start(features)           # takes the first latency frames from its argument
        rows, state = encoder.run(state, chunk)   # chunk: the frames after those

    Arguments:
        spec: The data's features and hop.
        mode: `transposed`, `linear` or `repeat`.
        layers: Convolutions at frame rate.
        channels: Their channels.
        kernel: Frames that each of them sees.
        look_ahead: Frames of advance; with `layers` = n of kernel 3, n centers them.
        rates: Rates of the transposed convolutions; two factors of `spec.hop` by default.
        embedding: Channels of each label.
        prediction: Order of the linear prediction that contexts carry, 0 for none.
        pitch_ahead: Frames after its own that an estimate of F0 sees, 0 to 10.

    Attributes:
        channels: Channels of the context: a WaveNet's `context_channels`.
        hop: Sites per row of the context.
        latency: Frames of look-ahead, those of estimates included.
        reach: Frames that the first tensor of a state holds.

    Errors:
        ValueError: No feature at frame rate, an unknown mode, rates that do not divide the hop;
            optional features that nothing estimates; what `given_features` refuses: a feature that
            is missing or has another shape than the spec says, labels out of range.

    Source: Ping et al., ClariNet, 2018, arXiv 1807.07281 (transposed).

    Example:
        >>> from distill.contract import FeatureSpec
        >>> features = {"mel": FeatureSpec("frames", 8), "speaker": FeatureSpec("label", 3)}
        >>> spec = DataSpec(sites=None, features=features, hop=12)
        >>> encoder = FrameEncoder(spec, mode="transposed", rates=[4], embedding=2)
        >>> context = encoder({"mel": torch.randn(2, 5, 8), "speaker": torch.tensor([0, 2])})
        >>> context.rows.shape, encoder.channels, context.hop
        (torch.Size([2, 20, 10]), 10, 3)
    """

    frames_loc: Tensor
    frames_scale: Tensor
    vector_loc: Tensor
    vector_scale: Tensor

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
        pitch_ahead: int = 3,
        prediction: int = 0,
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
        labels = {name: f.size for name, f in self.features.items() if f.kind == "label"}
        self.embeddings = nn.ModuleDict(
            {name: nn.Embedding(size, embedding) for name, size in labels.items()}
        )
        vectors = sum(f.size for f in self.features.values() if f.kind == "vector")
        self.channels = width + vectors + embedding * len(self.embeddings)
        self.rows_per_frame = math.prod(stage.rate for stage in stages)
        self.hop = spec.hop // self.rows_per_frame
        self.missing = nn.ModuleList(fillers(spec, look_ahead, pitch_ahead))
        self.look_ahead = look_ahead
        self.latency = look_ahead + sum(part.latency for part in self._parts())
        self.reach = max(look_ahead, _reach(stages))
        places = channels_of(spec)
        self._line = places["f0"].start if self.features.get("f0", _NONE).optional else None
        self.envelope = Envelope(spec, prediction) if prediction else None
        self._mel = places.get("mel", slice(0))
        for kind in ("frames", "vector"):
            own = [f for f in self.features.values() if f.kind == kind]
            loc = [number for f in own for number in f.loc or [0.0] * f.size]
            scale = [number for f in own for number in f.scale or [1.0] * f.size]
            # Not persistent: they travel in the spec.
            self.register_buffer(f"{kind}_loc", torch.tensor(loc), persistent=False)
            self.register_buffer(f"{kind}_scale", torch.tensor(scale), persistent=False)

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"channels={self.channels}, hop={self.hop}, latency={self.latency}"

    def forward(self, features: Features) -> Context:
        """Encode whole values."""
        frames, beside = self._read(features)
        frames = torch.cat([frames, frames[:, -1:].expand(-1, self.latency, -1)], 1)
        return self._encode(self._start(frames), frames[:, self.latency :], beside)[0]

    def start(self, features: Features) -> State:
        """Return the state before frame 0, for `run`.

        Arguments:
            features: At least the first `latency` frames, and one; what follows is not read.

        Errors:
            ValueError: Fewer frames.
        """
        frames, _ = self._read(features)
        if frames.shape[1] < max(1, self.latency):
            raise ValueError(
                f"FrameEncoder.start: wanted the first {max(1, self.latency)} frames or more, got "
                f"{frames.shape[1]}. Wait for them; at the end of a short value repeat its last."
            )
        return self._start(frames)

    def run(self, state: State, features: Features) -> tuple[Context, State]:
        """Encode the next chunk: F frames more complete F frames' rows, `latency` before them.

        After the last frame, pass it `latency` times more to get the rows that are due.

        Arguments:
            state: From `start`, or from the chunk before.
            features: The frames after those that the state has seen; labels and vectors again.
        """
        frames, beside = self._read(features)
        return self._encode(state, frames, beside)

    def loss(self, features: Features) -> dict[str, Tensor]:
        """Return what trains the estimates, scalars by name; nothing where there are none.

        Arguments:
            features: Those at frame rate, with the true `f0`, NaN in frames where it is not known;
                labels and vectors are not read.
        """
        if self._pitch is None:
            return {}
        framed = {name: f for name, f in self.features.items() if f.kind == "frames"}
        given = given_features("FrameEncoder", features, framed).values()
        return self._pitch.loss(torch.cat([v.to(self.frames_loc.dtype) for v in given], -1))

    def accuracy(self, features: Features) -> dict[str, float]:
        """Return how far estimates are from the true `f0`, as `PitchEstimator.accuracy` does."""
        frames, pitch = self._read(features)[0], self._pitch
        return {} if pitch is None else pitch.accuracy(frames)

    @property
    def _pitch(self) -> MissingPitch | None:
        return next((part for part in self._parts() if isinstance(part, MissingPitch)), None)

    def _parts(self) -> list[MissingPitch | MissingPhase]:
        return list(self.missing)  # type: ignore[arg-type]

    def _start(self, frames: Tensor) -> State:
        ahead = frames[:, : self.latency]
        states: list[Tensor] = []
        for part in self._parts():
            state = part.start(ahead)
            ahead, state = part.run(state, ahead[:, part.latency :])
            states += state
        first = ahead if self.look_ahead else frames
        before = first[:, :1].expand(-1, self.reach - self.look_ahead, -1)
        return (torch.cat([before, ahead], 1), *states)

    def _encode(self, state: State, frames: Tensor, beside: list[Tensor]) -> tuple[Context, State]:
        count, rest = frames.shape[1], state[1:]
        after: list[Tensor] = []
        for part in self._parts():
            frames, new = part.run(rest[: part.states], frames)
            rest = rest[part.states :]
            after += new
        seen = torch.cat([state[0], frames], 1)
        x = (self._settled(seen) - self.frames_loc) / self.frames_scale
        for stage in self.stages:
            x = stage(x)
        # A stage at a higher rate needs less than a whole frame before it.
        rows = x[:, x.shape[1] - count * self.rows_per_frame :]
        context = self._context(self._join(rows, beside), seen, count)
        if self.envelope is not None:
            own = seen[:, seen.shape[1] - count - self.look_ahead :][:, :count]
            context = replace(context, prediction=self.envelope(own[..., self._mel]))
        return context, (seen[:, count:].contiguous(), *after)

    def _settled(self, frames: Tensor) -> Tensor:
        """Put its mean for a log-F0 that was only guessed between voiced frames."""
        if self._line is None:
            return frames
        k = self._line
        line = torch.where(
            frames[..., k + 1 : k + 2] > 0, frames[..., k : k + 1], self.frames_loc[k]
        )
        return torch.cat([frames[..., :k], line, frames[..., k + 1 :]], -1)

    def _context(self, rows: Tensor, seen: Tensor, count: int) -> Context:
        """Return the context of `count` frames, which are `look_ahead` from the end of `seen`."""
        return Context(rows, self.hop)

    def _join(self, rows: Tensor, beside: list[Tensor]) -> Tensor:
        parts = [value[:, None].expand(-1, rows.shape[1], -1) for value in beside]
        return torch.cat([rows, *parts], -1) if parts else rows

    def _read(self, features: Features) -> tuple[Tensor, list[Tensor]]:
        """Check the features; return frames side by side, and embedded labels and vectors."""
        given = given_features("FrameEncoder", features, self.features)
        frames: list[Tensor] = []
        labels: list[Tensor] = []
        vectors: list[Tensor] = []
        for name, value in given.items():
            if self.features[name].kind == "label":
                labels.append(self.embeddings[name](value))
            else:
                own = frames if self.features[name].kind == "frames" else vectors
                own.append(value.to(self.frames_loc.dtype))
        if vectors:
            labels.append((torch.cat(vectors, -1) - self.vector_loc) / self.vector_scale)
        return torch.cat(frames, -1), labels


def _reach(stages: Sequence[CausalStage]) -> int:
    """Return how many frames before its own a row depends on."""
    before = 0
    for stage in reversed(stages):
        before = -(-before // stage.rate) + stage.reach
    return before
