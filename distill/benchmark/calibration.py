"""The roofline of a machine, measured in the same run: matrix products and copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from distill.benchmark.formatting import si
from distill.benchmark.timing import Timing, Turn, take_turns

_SIDE = {"cpu": 1024, "cuda": 4096}
_COPIED = 2**28


@dataclass(frozen=True)
class Calibration:
    """The two roofs over every sampler of a run, and how fast the machine was in it.

    Arguments:
        gemm: Times of a product of square matrices.
        gemm_flop: Operations of one.
        copy: Times of a copy of a buffer far larger than any cache.
        copy_bytes: Bytes that one reads and writes.
    """

    gemm: Timing
    gemm_flop: float
    copy: Timing
    copy_bytes: float

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """Rebuild the record that `dataclasses.asdict` gives."""
        gemm, copy = (Timing.from_dict(values[name]) for name in ("gemm", "copy"))
        return cls(gemm, float(values["gemm_flop"]), copy, float(values["copy_bytes"]))

    @property
    def peak(self) -> float:
        """FLOP per second of the fastest product."""
        return self.gemm_flop / self.gemm.minimum

    @property
    def copy_rate(self) -> float:
        """Bytes per second of the fastest copy."""
        return self.copy_bytes / self.copy.minimum

    def in_words(self) -> str:
        """Return the roofs as a table states them.

        Example:
            >>> Calibration(Timing((0.01,)), 2e9, Timing((0.02,)), 5e8).in_words()
            'GEMM 200 GFLOP/s, copy 25 GB/s'
        """
        return f"GEMM {si(self.peak, 'FLOP/s')}, copy {si(self.copy_rate, 'B/s')}"


class Calibrator:
    """Measures a device's roofs, again and again in the course of a run.

    It runs before each group of competitors and never between them: its large buffer empties the
    caches that they keep warm.

    Arguments:
        device: Where.
        dtype: That of the models; what the product is computed in.
        side: Of the matrices.
        copied: Bytes of the buffer.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        side: int | None = None,
        copied: int = _COPIED,
    ) -> None:
        self.device = torch.device(device)
        side = side or _SIDE.get(self.device.type, _SIDE["cpu"])
        a = torch.randn(side, side, device=self.device).to(dtype)
        product = torch.empty_like(a)
        buffer = torch.ones(copied, dtype=torch.uint8, device=self.device)
        target = torch.empty_like(buffer)
        self.gemm_flop, self.copy_bytes = 2.0 * side**3, 2.0 * copied
        self.turns = [
            Turn(lambda: torch.mm(a, a, out=product), self.device),
            Turn(lambda: target.copy_(buffer), self.device),
        ]
        self._times: tuple[list[float], list[float]] = ([], [])

    def measure(self, rounds: int = 5) -> None:
        """Add so many runs of each."""
        for found, times in zip(take_turns(self.turns, rounds), self._times, strict=True):
            if isinstance(found, Exception):
                raise found
            times.extend(found.times)

    def result(self) -> Calibration:
        """Return all that was measured."""
        gemm, copy = (Timing(tuple(times)) for times in self._times)
        return Calibration(gemm, self.gemm_flop, copy, self.copy_bytes)


MakeCalibrator = Callable[[torch.device, torch.dtype], Calibrator]
"""What makes the calibrator of a device; `Calibrator` itself, or a smaller one."""
