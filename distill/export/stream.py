"""The streaming runtime: frames in, the samples that are ready out."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from distill.bijectors import State
from distill.checks import check_number
from distill.export.inputs import first_state
from distill.export.noise import Noise

if TYPE_CHECKING:
    from distill.export.exported import Exported

CHUNK = 8192  # sites of all rows at once: near the fastest, and memory stays small


class UnusualWarning(UserWarning):
    """Frames that are hardly those of the model's kind, though they could be."""


class Rows:
    """Rows of signals drawn chunk after chunk, each with noise and state of its own.

    Frames go in as they come; the samples of frame f come out when frame f + latency is there, and
    at the end the last frame stands for those that are missing.

    Arguments:
        exported: The loaded file.
        features: Whole, or what holds for the whole stream, `(B, ...)`.
        temperature: Scales the noise.
        seed: Of the first row; row b draws with `seed + b`.
        warn: Whether to warn of what is unusual.

    Attributes:
        remark: What is unusual in the mel, once it shows.

    Errors:
        ValueError: A temperature that is negative or not finite; what is drawn is not finite.
    """

    remark: str | None = None

    def __init__(
        self,
        exported: Exported,
        features: dict[str, Tensor],
        temperature: float,
        seed: int | None,
        warn: bool = True,
    ) -> None:
        check_number(f"{exported.path.name}: temperature", temperature, low=0)
        metadata = exported.metadata
        self.exported, self.metadata = exported, metadata
        self.batch = next((value.shape[0] for value in features.values()), 1)
        self.temperature, self._warns = temperature, warn
        first = Noise(metadata.base, seed, metadata.dtype)
        others = range(1, self.batch)
        self.noises = [first, *(Noise(metadata.base, first.seed + b, first.dtype) for b in others)]
        self.frames = {name: features[name] for name in metadata.frames if name in features}
        self.fixed = {k: v for k, v in features.items() if k not in metadata.frames}
        self._watch = None
        if "mel" in metadata.spec.settings:
            from distill.data.audio.given_frames import MelWatch

            self._watch = MelWatch(metadata.spec)
        self._state: State | None = None
        self._early: dict[str, Tensor] = {}
        self._last: dict[str, Tensor] = {}

    def draw(self, frames: int | None = None) -> Tensor:
        """Return all samples of whole features, `(B, F * hop)`."""
        spec = self.metadata.spec
        if spec.sites is not None:
            return self._run({}, spec.sites)
        if not self.metadata.frames:
            return self.push_count(frames or 0)
        return torch.cat([self.push(self.frames), self.finish()], 1)

    def push(self, frames: dict[str, Tensor]) -> Tensor:
        """Take in frames `(B, F, size)`; return the samples that are ready, `(B, F' * hop)`."""
        self._last = {name: value[:, -1:] for name, value in frames.items()}
        if self._watch and "mel" in frames:
            self._note(self._watch.add(frames["mel"]))
        if self._state is None:
            if self._early:
                frames = {k: torch.cat([self._early[k], v], 1) for k, v in frames.items()}
            ahead = self.metadata.latency
            if next(iter(frames.values())).shape[1] < ahead:
                self._early = frames
                return self._nothing()
            self._state = first_state(self.metadata, {**frames, **self.fixed}, self.batch)
            self._early = {}
            frames = {name: value[:, ahead:] for name, value in frames.items()}
        return self._in_chunks(frames, next(iter(frames.values())).shape[1])

    def push_count(self, count: int) -> Tensor:
        """Draw so many frames more of a model without features at frame rate."""
        if self._state is None:
            self._state = first_state(self.metadata, self.fixed, self.batch)
        return self._in_chunks({}, count)

    def finish(self) -> Tensor:
        """Return the samples that are still due, the last frame standing for those after it."""
        if self._watch:
            self._note(self._watch.remark())
        if not self.metadata.latency or not self._last:
            return self._nothing()
        missing = self.metadata.latency
        return self.push(
            {name: value.expand(-1, missing, -1) for name, value in self._last.items()}
        )

    def _note(self, remark: str | None) -> None:
        self.remark = remark or self.remark
        if remark and self._warns:
            warnings.warn(f"{self.exported.path.name}: {remark}", UnusualWarning, stacklevel=4)

    def _in_chunks(self, frames: dict[str, Tensor], count: int) -> Tensor:
        hop = self.metadata.spec.hop
        size = max(1, CHUNK // (hop * self.batch))
        parts = [
            self._run(
                {k: v[:, i : i + size] for k, v in frames.items()}, hop * min(size, count - i)
            )
            for i in range(0, count, size)
        ]
        return torch.cat(parts, 1) if parts else self._nothing()

    def _run(self, frames: dict[str, Tensor], sites: int) -> Tensor:
        noise = np.stack([source.draw(sites) for source in self.noises])
        with np.errstate(over="ignore"):  # what overflows is refused as not finite
            noise *= noise.dtype.type(self.temperature)
        state = self._state or ()
        given = {**{name: value.contiguous() for name, value in frames.items()}, **self.fixed}
        x, _, self._state = self.exported.compute(torch.from_numpy(noise), given, state)
        if not x.isfinite().all():
            raise ValueError(
                f"{self.exported.path.name}: the model drew values that are not finite. Lower the "
                "temperature, check the features, or train it longer."
            )
        return x

    def _nothing(self) -> Tensor:
        return torch.zeros(self.batch, 0, dtype=self.exported.dtype)


class Stream:
    """One client's stream: push frames, get the samples that are ready.

    Any split into pushes gives the samples of `Exported.synthesize` with the same seed. Streams
    share nothing but the loaded file, so each of many at once, in threads of their own, gets what
    it would get alone. One stream belongs to one thread at a time.

    Arguments:
        exported: The loaded file.
        temperature: Scales the noise.
        seed: Makes it reproducible.
        features: Labels and vectors, which hold for the whole stream.
        warn: Whether to warn of a mel that is likely of another scale; `remark` tells in any case.

    Attributes:
        latency: Seconds of look-ahead: how far the samples lag behind the frames pushed.

    Errors:
        ValueError: Values of a fixed number of sites; features that do not fit.
    """

    def __init__(
        self,
        exported: Exported,
        temperature: float = 1.0,
        seed: int | None = None,
        features: Any = None,
        warn: bool = True,
    ) -> None:
        metadata = exported.metadata
        if not metadata.streams:
            raise ValueError(
                f"{exported.path.name}: its values have {metadata.spec.sites} sites, so there is "
                "nothing to stream. Use synthesize, or sample."
            )
        self.latency = metadata.latency * metadata.spec.hop / (metadata.spec.sample_rate or 1)
        self._exported = exported
        self._name = exported.path.name
        fixed = exported.inputs.named(features, ("vector", "label"))
        self._rows = Rows(exported, fixed, temperature, seed, warn)
        if self._rows.batch != 1:
            raise ValueError(
                f"{self._name}: a stream wanted labels and vectors of one signal, got "
                f"{self._rows.batch} rows. Start one stream for each."
            )
        self._started = self._done = False

    @property
    def remark(self) -> str | None:
        """What is unusual in the mel so far: numbers of another scale, say."""
        return self._rows.remark

    def push(self, features: Any) -> Tensor:
        """Take in frames; return the samples `(n,)` that are ready, a multiple of the hop.

        Arguments:
            features: A mapping of arrays `(F, size)`, or one array with the features side by side,
                optional ones left out or not; for a model without features at frame rate the
                number of frames to draw.

        Errors:
            ValueError: Frames that do not fit, none, or a stream that is finished.
        """
        self._check_open()
        if not self._exported.metadata.frames:
            return self._push_count(features)
        frames = self._exported.inputs.named(features, ("frames",))
        if next(iter(frames.values())).shape[0] != 1:
            raise ValueError(
                f"{self._name}: a stream wanted frames of one signal, (frames, size), got a batch."
                " Start one stream for each."
            )
        self._started = True
        return self._rows.push(frames)[0]

    def finish(self) -> Tensor:
        """End the stream; return the rest of its samples, `(n,)`.

        Errors:
            ValueError: Nothing was pushed, or it is finished already.
        """
        self._check_open()
        if not self._started:
            raise ValueError(
                f"{self._name}: the stream ends before its first frame. Push one at least."
            )
        self._done = True
        return self._rows.finish()[0]

    def _push_count(self, frames: Any) -> Tensor:
        if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1:
            raise ValueError(
                f"{self._name}: it has no features at frame rate, so push wanted a number of "
                f"frames, 1 or more; got {frames!r}."
            )
        self._started = True
        return self._rows.push_count(frames)[0]

    def _check_open(self) -> None:
        if self._done:
            raise ValueError(f"{self._name}: this stream is finished. Start a new one.")
