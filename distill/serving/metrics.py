"""Latency, real-time factor and underruns of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class StreamMetrics:
    """Latency of each chunk, sound made, and underruns.

    A listener hears the first samples `lead` seconds after they are there. A chunk that comes when
    all before it has been heard is an underrun, after which the listener waits as long again.

    Arguments:
        rate: Samples per second.
        lead: Seconds of sound that a listener keeps in hand.

    Example:
        >>> metrics = StreamMetrics(rate=1000)
        >>> metrics.add(seconds=0.01, samples=100, at=0.0)
        >>> metrics.add(seconds=0.03, samples=100, at=0.15)
        >>> metrics.underruns, metrics.numbers()["real_time_factor"]
        (1, 5.0)
    """

    rate: int
    lead: float = 0.0
    latencies: list[float] = field(default_factory=list)
    samples: int = 0
    underruns: int = 0
    _due: float | None = None

    def add(self, seconds: float, samples: int, at: float) -> None:
        """Count a chunk.

        Arguments:
            seconds: It took, from its frames to its samples.
            samples: It gave; a chunk that gave none, while the look-ahead fills, does not count.
            at: When it was ready, on any clock, in seconds.
        """
        if not samples:
            return
        self.latencies.append(seconds)
        self.samples += samples
        if self._due is None or at > self._due:
            self.underruns += self._due is not None
            self._due = at + self.lead
        self._due += samples / self.rate

    @property
    def seconds(self) -> float:
        """Duration of the sound made."""
        return self.samples / self.rate

    def numbers(self) -> dict[str, float]:
        """Return the figures: milliseconds, seconds of sound, seconds of sound per second."""
        times = 1e3 * np.array(self.latencies or [0.0])
        busy = float(times.sum()) / 1e3
        return {
            "chunks": float(len(self.latencies)),
            "seconds": self.seconds,
            "latency_p50_ms": float(np.percentile(times, 50)),
            "latency_p99_ms": float(np.percentile(times, 99)),
            "real_time_factor": self.seconds / busy if busy else 0.0,
            "underruns": float(self.underruns),
        }
