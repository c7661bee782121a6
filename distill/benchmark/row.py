"""One line of a comparison of whole values: who, how fast, how near to the machine's roofs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from distill.benchmark.calibration import Calibration
from distill.benchmark.counting import Work
from distill.benchmark.timing import Timing


@dataclass(frozen=True)
class Row:
    """One model, one backend, one batch size.

    Arguments:
        model: `teacher`, `student`, or a library's name.
        backend: How it ran.
        batch: Values drawn at once; 0 where it never ran.
        device: Where.
        sites: T of a value.
        megabytes: Of its weights or its file.
        peak_megabytes: Most memory while it ran, where the device tells it.
        timing: `None` where it did not run.
        work: What a batch computes, `None` where it could not be counted.
        extra: Numbers of its own, by the name of their column.
        note: Why it did not run, or what to know about the number.
    """

    model: str
    backend: str
    batch: int = 0
    device: str = "cpu"
    sites: int | None = None
    megabytes: float | None = None
    peak_megabytes: float | None = None
    timing: Timing | None = None
    work: Work | None = None
    extra: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        """Model and backend."""
        return f"{self.model}-{self.backend}"

    @property
    def rate(self) -> float | None:
        """Values per second."""
        return None if self.timing is None else self.timing.rate(self.batch)

    @property
    def site_rate(self) -> float | None:
        """Sites per second, which compares values of different lengths."""
        return None if self.rate is None else self.rate * (self.sites or 1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Row:
        """Rebuild what `to_dict` wrote."""
        return cls(**{**values, **rebuilt(values)})


def rebuilt(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return time and work of a row's record."""
    timing, work = values["timing"], values["work"]
    return {
        "timing": None if timing is None else Timing.from_dict(timing),
        "work": None if work is None else Work(**work),
    }


def shares(
    timing: Timing | None, work: Work | None, roof: Calibration | None
) -> tuple[float | None, float | None]:
    r"""Return the share of a machine's two roofs that a sampler reaches.

    $$\frac{\text{FLOP} / t}{\text{GEMM peak}},\qquad\frac{\text{bytes} / t}{\text{copy rate}}$$

    The bytes are those of operations that keep nothing in a cache, so that a share above 1 says
    that it does.

    Example:
        >>> roof = Calibration(Timing((1.0,)), 100.0, Timing((1.0,)), 50.0)
        >>> shares(Timing((2.0,)), Work(20.0, 10.0), roof), shares(None, None, roof)
        ((0.1, 0.1), (None, None))
    """
    if timing is None or work is None or roof is None:
        return None, None
    bandwidth = None if work.bytes is None else work.bytes / timing.median / roof.copy_rate
    return work.flop / timing.median / roof.peak, bandwidth
