"""Synthesis for many clients at once: a loaded sampler, and a connection for each client."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from distill.errors import suggest
from distill.export import Exported
from distill.frames import FrameLayout
from distill.serving.pool import WorkerPool

PIECE = 0.25  # seconds of sound that a worker computes at a time


@dataclass(frozen=True)
class SynthesisSettings:
    """What a client may choose.

    Arguments:
        seed: Of the noise.
        temperature: Scales the noise.
        labels: Index `(1,)` of each label of the model.
        format: Of streamed samples: `int16` or `float32`, little-endian.
        without: Optional features that streamed frames do not hold.
        chunked: Whether an answer is sent while it is made.
    """

    seed: int
    temperature: float
    labels: dict[str, Tensor]
    format: str
    without: tuple[str, ...] = ()
    chunked: bool = False

    @classmethod
    def read(
        cls, given: Mapping[str, Any], layout: FrameLayout, streamed: bool = False
    ) -> SynthesisSettings:
        """Read the settings from a query or a JSON object; a seed that is missing is drawn.

        Arguments:
            given: By name.
            layout: Of the model's frames and labels.
            streamed: Whether they are a stream's: the samples' format, and what frames hold, may
                be chosen, but not whether an answer is chunked.

        Errors:
            ValueError: An unknown one, or a value out of range.
        """
        known = ["voice", "seed", "temperature", *layout.label_names]
        known += ["format", *(["without"] if layout.optional else [])] if streamed else ["stream"]
        for name in given:
            if name not in known:
                raise unknown_setting(name, known)
        form = given.get("format", "int16")
        if form not in ("int16", "float32"):
            raise ValueError(f"format: wanted int16 or float32, got {form!r}.")
        without = given.get("without", [])
        if not (isinstance(without, list) and all(name in layout.optional for name in without)):
            may = ", ".join(layout.optional)
            raise ValueError(f"without: wanted a list of any of {may}, got {without!r}.")
        if (chunked := given.get("stream", "false")) not in ("true", "false"):
            raise ValueError(f"stream: wanted true or false, got {chunked!r}.")
        seed = given.get("seed")
        return cls(
            secrets.randbelow(2**32) if seed is None else _seed(seed),
            _temperature(given.get("temperature", 1.0)),
            layout.labels({name: given.get(name) for name in layout.label_names}),
            form,
            tuple(without),
            chunked == "true",
        )


class Synthesizer:
    """Turns frames into sound, piece by piece in the pool's threads.

    The pieces of one client are computed one after the other, with noise and state of its own: its
    sound does not depend on who else is there.

    Arguments:
        exported: The sampler.
        pool: Whose threads compute.
        name: Of the voice.
    """

    def __init__(self, exported: Exported, pool: WorkerPool, name: str) -> None:
        self.exported = exported
        self.name = name
        self.layout = FrameLayout(exported.metadata.spec)
        self._pool = pool
        self._frames = max(1, round(PIECE * self.layout.rate / self.layout.hop))

    async def connect(self, settings: SynthesisSettings) -> Connection:
        """Start for a client."""
        stream = await self._pool.work(
            self.exported.stream,
            temperature=settings.temperature,
            seed=settings.seed,
            features=settings.labels,
            warn=False,  # the answer tells
        )
        return Connection(
            stream, self._pool, self._frames, self.exported.metadata.dtype, self._count
        )

    async def read(self, path: Path) -> np.ndarray:
        """Return the frames of a body, see `read_body`."""
        return await self._pool.read(path, self.exported.metadata)

    def finished(self, factor: float) -> None:
        """Count a request or stream that was served to its end.

        Arguments:
            factor: Seconds of sound per second.
        """
        self._pool.metrics.factor.labels(self.name).observe(factor)

    def _count(self, seconds: float, samples: int) -> None:
        self._pool.metrics.spoke(self.name, seconds, samples, self.layout.rate)


class Connection:
    """What a client hears; frames in, samples out.

    Arguments:
        stream: Its state.
        pool: Whose threads compute.
        piece: Most frames at a time.
        dtype: Of the sampler.
        count: Told the seconds and the samples of every chunk.
    """

    def __init__(
        self,
        stream: Any,
        pool: WorkerPool,
        piece: int,
        dtype: str,
        count: Callable[[float, int], None],
    ) -> None:
        self._stream, self._pool, self._piece, self._dtype = stream, pool, piece, dtype
        self._count = count

    async def pieces(self, rows: np.ndarray) -> AsyncIterator[np.ndarray]:
        """Yield the samples `(n,)` that are ready, after every piece of checked rows."""
        for start in range(0, len(rows), self._piece):
            part = rows[start : start + self._piece].astype(self._dtype)
            yield await self._pool.work(self._counted, self._stream.push, part)

    async def push(self, rows: np.ndarray) -> np.ndarray:
        """Return all samples that are ready after checked rows."""
        return np.concatenate([piece async for piece in self.pieces(rows)])

    @property
    def remark(self) -> str | None:
        """What is unusual in the frames so far."""
        return self._stream.remark

    async def finish(self) -> np.ndarray:
        """Return the samples that are still due."""
        return await self._pool.work(self._counted, self._stream.finish)

    def _counted(self, call: Callable[..., Any], *args: Any) -> np.ndarray:
        began = time.monotonic()
        samples = np.asarray(call(*args))
        self._count(time.monotonic() - began, len(samples))
        return samples


def unknown_setting(name: str, known: Sequence[str]) -> ValueError:
    """Return the error of a setting that is none of those that are known."""
    near = suggest(name, list(known))
    return ValueError(f"{name}: unknown setting.{near} There are: {', '.join(known)}.")


def _seed(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:20])
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(f"seed: wanted a whole number from 0 to 2^63 - 1, got {value!r}.")
    return value


def _temperature(value: Any) -> float:
    try:
        odd = isinstance(value, bool) or "_" in str(value)  # which Python passes over
        number = math.nan if odd else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= 10:
        raise ValueError(f"temperature: wanted a number from 0 to 10, got {value!r}.")
    return number
