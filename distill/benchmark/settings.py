"""The settings of a comparison, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from distill.benchmark.peers import PEERS
from distill.benchmark.students import WAYS
from distill.benchmark.teachers import SAMPLERS
from distill.checks import check_number


@dataclass(frozen=True)
class BenchmarkSettings:
    """What is compared, and how thoroughly.

    Arguments:
        batch_sizes: Values drawn at once.
        repeats: Rounds; in each one everybody draws once.
        seconds: Most time for a row, about.
        sites: T, where the data does not fix it.
        chunks: Seconds of sound in the chunks of a stream; none for no streams.
        pushes: Chunks of each stream that count.
        teacher: The teacher's samplers.
        student: The student's ways to run.
        peers: Other libraries.
        growth: Whether to draw how the cost grows too.
        growth_over: Over which lengths, batches and block sizes.

    Errors:
        ValueError: A number out of range, or an unknown name.
    """

    batch_sizes: Sequence[int] = (1, 16, 256, 4096)
    repeats: int = 5
    seconds: float = 2.0
    sites: int | None = None
    chunks: Sequence[float] = (0.01, 0.02, 0.05, 0.1)
    pushes: int = 200
    teacher: Sequence[str] = tuple(SAMPLERS)
    student: Sequence[str] = WAYS
    peers: Sequence[str] = ()
    growth: bool = False
    growth_over: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("repeats", "pushes"):
            check_number(f"benchmark.{name}", getattr(self, name), low=1, whole=True)
        check_number("benchmark.seconds", self.seconds, above=0)
        if self.sites is not None:
            check_number("benchmark.sites", self.sites, low=1, whole=True)
        if not self.batch_sizes:
            raise ValueError("benchmark.batch_sizes: wanted one or more, got none.")
        for size in self.batch_sizes:
            check_number("benchmark.batch_sizes", size, low=1, whole=True)
        for chunk in self.chunks:
            check_number("benchmark.chunks", chunk, above=0)
        for name, known in (("teacher", SAMPLERS), ("student", WAYS), ("peers", PEERS)):
            for value in getattr(self, name):
                if value not in known:
                    raise ValueError(
                        f"benchmark.{name}: wanted any of {', '.join(known)}, got {value!r}."
                    )
        if not isinstance(self.growth_over, Mapping):
            raise ValueError(
                "benchmark.growth_over: wanted lists by axis, as in {batch: [1, 4]}, got "
                f"{self.growth_over!r}. Leave it out, or set benchmark.growth_over.batch=[1,4]."
            )
        for axis, values in self.growth_over.items():
            if not isinstance(values, list | tuple):
                raise ValueError(
                    f"benchmark.growth_over.{axis}: wanted a list of whole numbers, as in [1, 4], "
                    f"got {values!r}. Give one, or leave it out."
                )
            for value in values:
                check_number(f"benchmark.growth_over.{axis}", value, low=1, whole=True)

    def plain(self) -> dict[str, Any]:
        """Return plain containers, for JSON."""
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> BenchmarkSettings:
        """Make them of a config's node.

        Errors:
            ValueError: A key that there is not.
        """
        known = [entry.name for entry in fields(cls)]
        for name in values:
            if name not in known:
                raise ValueError(f"benchmark.{name}: unknown key. There are: {', '.join(known)}.")
        return cls(**values)
