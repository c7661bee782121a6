"""One line of a comparison of streams: who, in chunks of what length, how fast and how exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from distill.benchmark.counting import Work
from distill.benchmark.row import rebuilt
from distill.benchmark.timing import Timing


@dataclass(frozen=True)
class StreamRow:
    """One model, one backend, one length of chunks.

    Arguments:
        model: `student`, or its size.
        backend: How it ran.
        chunk: Seconds of sound in a chunk; 0 where it never ran.
        sites: In a chunk.
        timing: Seconds from frames to samples, of each chunk that counted.
        work: What a chunk computes.
        error: Largest difference of its samples from one pass of the eager model.
        megabytes: Size of the file, where there is one.
        load: Seconds to load it.
        note: Why it did not run.
    """

    model: str
    backend: str
    chunk: float = 0.0
    sites: int = 0
    timing: Timing | None = None
    work: Work | None = None
    error: float = 0.0
    megabytes: float | None = None
    load: float | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """Model and backend."""
        return f"{self.model}-{self.backend}"

    @property
    def milliseconds(self) -> int:
        """Length of a chunk, rounded."""
        return round(1e3 * self.chunk)

    def percentile(self, share: float) -> float:
        """Return the seconds below which so many of a hundred chunks stay."""
        return float(np.percentile(self.timing.times, share)) if self.timing else 0.0

    @property
    def factor(self) -> float:
        """Seconds of sound per second."""
        return self.chunk * self.timing.runs / sum(self.timing.times) if self.timing else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> StreamRow:
        """Rebuild what `to_dict` wrote."""
        return cls(**{**values, **rebuilt(values)})
