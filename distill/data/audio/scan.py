"""The report of a look through a corpus: durations, rates, what is left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

_SHOWN = 200


class Seconds(Mapping[str, float]):
    """Durations by name, of any number of clips.

    Example:
        >>> Seconds(["a", "b"], np.array([0.5, 2.0]))["b"]
        2.0
    """

    def __init__(self, names: Sequence[str], seconds: np.ndarray) -> None:
        self._names, self._seconds = names, seconds

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self._names)}

    def __getitem__(self, name: str) -> float:
        return float(self._seconds[self._numbers[name]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def values(self) -> list[float]:  # type: ignore[override]
        """Return all of them, in order."""
        return self._seconds.tolist()


@dataclass
class Scan:
    """Which files a corpus uses, which not, and why.

    Arguments:
        seconds: Duration of each clip used, by name.
        rates: Files by sample rate before resampling, Hz.
        rejects: Reason for each file that is left out, by name.
        notes: What was done to a file, or is wrong with one that is used, by name.
        recalled: Clips found in the cache.
        copies: Of clips to learn from, at other speeds.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    rates: Counter[int] = field(default_factory=Counter)
    rejects: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    recalled: int = 0
    copies: int = 0

    def add(self, name: str, seconds: float, facts: Mapping[str, object]) -> None:
        """Count a clip."""
        assert isinstance(self.seconds, dict)
        self.seconds[name] = seconds
        self.rates[int(facts["rate"])] += 1  # type: ignore[call-overload]
        self.recalled += bool(facts.get("recalled"))
        if facts.get("notes"):
            self.notes[name] = "; ".join(facts["notes"])  # type: ignore[arg-type]

    @property
    def reasons(self) -> Counter[str]:
        """Number of files left out, by the reason's first words."""
        return Counter(reason.split(":")[0] for reason in self.rejects.values())

    @property
    def metrics(self) -> dict[str, float]:
        """The numbers."""
        seconds = sorted(self.seconds.values())
        return {
            "files": float(len(self.seconds) + len(self.rejects)),
            "clips": float(len(seconds)),
            "rejects": float(len(self.rejects)),
            "rejects/silent": float(self.reasons["silent"]),
            "clipped": float(sum("clipped" in note for note in self.notes.values())),
            "converted": float(
                sum("resampled" in n or "channels" in n for n in self.notes.values())
            ),
            "recalled": float(self.recalled),
            "copies": float(self.copies),
            "hours": sum(seconds) / 3600,
            "seconds/shortest": seconds[0],
            "seconds/median": seconds[len(seconds) // 2],
            "seconds/longest": seconds[-1],
        }

    def table(self) -> str:
        """Return the report in Markdown: counts, rates, rejects with their reasons, notes."""
        m = self.metrics
        rates = ", ".join(f"{rate} Hz ({count})" for rate, count in sorted(self.rates.items()))
        rows = [
            ("files", f"{m['files']:.0f}"),
            ("used", f"{m['clips']:.0f}, {_duration(3600 * m['hours'])}"),
            ("left out", f"{m['rejects']:.0f}"),
            ("sample rates", rates),
            ("shortest, median, longest", self._spread()),
            ("clipped", f"{m['clipped']:.0f}"),
            ("silent", f"{m['rejects/silent']:.0f}"),
            ("found in the cache", f"{m['recalled']:.0f}"),
        ]
        if self.copies:
            rows.append(("copies at other speeds", f"{self.copies}"))
        text = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
        text += _listed("Left out", "reason", self.rejects)
        return "\n".join(text + _listed("Used, with a remark", "remark", self.notes))

    def _spread(self) -> str:
        names = ("shortest", "median", "longest")
        return ", ".join(f"{self.metrics[f'seconds/{name}']:.2f} s" for name in names)


def _listed(title: str, what: str, entries: Mapping[str, str]) -> list[str]:
    if not entries:
        return []
    rows = [f"| {_cell(name)} | {_cell(text)} |" for name, text in list(entries.items())[:_SHOWN]]
    more = [f"| and {len(entries) - _SHOWN} more | |"] if len(entries) > _SHOWN else []
    return ["", f"{title}:", "", f"| file | {what} |", "|---|---|", *rows, *more]


def _cell(text: str) -> str:
    """Return a text that keeps to its cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\r", "").replace("\n", "\\n")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
