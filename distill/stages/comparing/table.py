"""Runs side by side: where their configs differ, and their metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from distill.differences import flatten
from distill.errors import suggest
from distill.stages.comparing.runs import Run
from distill.stages.manifest import COMPLETE

_BESIDE = ("/standard_error", "/per_site")
_IGNORED = ("run",)


@dataclass(frozen=True)
class Comparison:
    """What a table of runs is made of.

    Arguments:
        runs: In the order shown.
        settings: For each dotted key that differs, its value by run's label.
        metrics: Names of the metrics shown.
    """

    runs: Sequence[Run]
    settings: Mapping[str, Mapping[str, Any]]
    metrics: Sequence[str]

    def grid(self) -> list[list[str]]:
        """Return the table as texts: a header, and a row for each setting, state and metric."""
        rows = [["what", *(run.label for run in self.runs)]]
        for key, values in self.settings.items():
            rows.append(
                [key, *(_text(values[r.label]) if r.label in values else "" for r in self.runs)]
            )
        rows.append(["state", *(_state(run.states) for run in self.runs)])
        for name in self.metrics:
            rows.append([name, *(_number(run.metrics, name) for run in self.runs)])
        return rows

    def markdown(self, transpose: bool = False) -> str:
        """Write the table as Markdown.

        Arguments:
            transpose: A row a run, rather than a column.
        """
        grid = self.grid()
        if transpose:
            grid = [list(column) for column in zip(*grid, strict=True)]
            grid[0][0] = "run"
        lines = [f"| {' | '.join(map(_cell, row))} |" for row in grid]
        lines.insert(1, "|---" * len(grid[0]) + "|")
        return "\n".join(lines)

    def record(self) -> dict[str, Any]:
        """Return the table for JSON; standard errors stand among the metrics."""
        return {
            "settings": list(self.settings),
            "metrics": list(self.metrics),
            "runs": [
                {
                    "run": run.label,
                    "folder": str(run.folder),
                    "states": dict(run.states),
                    "settings": {
                        key: values[run.label]
                        for key, values in self.settings.items()
                        if run.label in values
                    },
                    "metrics": {
                        name: run.metrics[name]
                        for metric in self.metrics
                        for name in (metric, f"{metric}/standard_error")
                        if name in run.metrics
                    },
                }
                for run in self.runs
            ],
        }


def compare(
    runs: Sequence[Run],
    metrics: Sequence[str] | None = None,
    sort: str | None = None,
    descending: bool = False,
) -> Comparison:
    """Compare runs.

    Arguments:
        runs: From `find_runs`.
        metrics: Names or patterns of the metrics to show, whole or from a `/` on; `None` shows all.
        sort: A name or pattern of the one metric to sort by; runs without it come last.
        descending: Largest first.

    Errors:
        ValueError: No run has such a metric, or `sort` means several.

    Example:
        >>> from pathlib import Path
        >>> runs = [
        ...     Run(name, Path(name), {"student": {"seed": seed}}, {"student": "complete"},
        ...         {"student/kl": kl})
        ...     for name, seed, kl in (("a", 0, 0.25), ("b", 1, 0.125))
        ... ]
        >>> print(compare(runs, sort="kl").markdown())
        | what | b | a |
        |---|---|---|
        | seed | 1 | 0 |
        | state | complete | complete |
        | student/kl | 0.125 | 0.25 |
    """
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    names = [name for name in names if not name.endswith(_BESIDE)]
    shown = names
    if metrics is not None:
        found = [name for pattern in metrics for name in meant(pattern, names, "metrics")]
        shown = list(dict.fromkeys(found))
    ordered = list(runs)
    if sort is not None:
        by = meant(sort, names, "sort")
        if len(by) > 1:
            raise ValueError(f"sort={sort}: means {len(by)} metrics: {_few(by)}. Name one.")
        have = [run for run in runs if by[0] in run.metrics]
        have.sort(key=lambda run: run.metrics[by[0]], reverse=descending)
        ordered = have + [run for run in runs if by[0] not in run.metrics]
    return Comparison(ordered, differing(ordered), shown)


def differing(runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Return the settings that are not the same in all runs, by label; absent where not set.

    A setting that stages of one run disagree on is told for each stage, as `student: seed`.
    """
    flat = {
        run.label: {
            stage: {k: v for k, v in flatten(config).items() if k not in _IGNORED}
            for stage, config in run.configs.items()
        }
        for run in runs
    }
    values: dict[str, dict[str, Any]] = {}
    apart: dict[tuple[str, str], None] = {}
    for label, stages in flat.items():
        for stage, settings in stages.items():
            for key, value in settings.items():
                first = values.setdefault(key, {}).setdefault(label, value)
                if first != value:
                    apart[stage, key] = None
    for stage, key in apart:
        found = {label: stages.get(stage, {}) for label, stages in flat.items()}
        values[f"{stage}: {key}"] = {label: s[key] for label, s in found.items() if key in s}
    return {
        key: by_run
        for key, by_run in values.items()
        if len(by_run) < len(runs) or any(v != next(iter(by_run.values())) for v in by_run.values())
    }


def meant(pattern: str, names: Sequence[str], option: str) -> list[str]:
    """Return the metrics that a pattern means.

    Arguments:
        pattern: A name or pattern, whole or from a `/` on.
        names: Of the metrics that there are.
        option: What holds the pattern, for the error.

    Errors:
        ValueError: It means none.

    Example:
        >>> meant("kl", ["student/kl", "evaluate/nll"], "sort")
        ['student/kl']
    """
    # A name may itself hold what a pattern would read.
    found = [name for name in names if name == pattern or name.endswith(f"/{pattern}")]
    if not found:
        ways = (pattern, f"*/{pattern}")
        found = [name for name in names if any(fnmatchcase(name, way) for way in ways)]
    if not found:
        tails = {
            "/".join(name.split("/")[at:]) for name in names for at in range(name.count("/") + 1)
        }
        near = suggest(pattern, tails)
        there = f" There are: {_few(names)}." if names else " The runs have no metrics yet."
        raise ValueError(f"{option}={pattern}: no run has such a metric.{near}{there}")
    return found


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _state(states: Mapping[str, str]) -> str:
    odd = [f"{stage} {state}" for stage, state in states.items() if state != COMPLETE]
    return ", ".join(odd) or COMPLETE


def _number(metrics: Mapping[str, float], name: str) -> str:
    if name not in metrics:
        return ""
    error = metrics.get(f"{name}/standard_error")
    behind = "" if error is None else f" ± {error:.2g}"
    return f"{metrics[name]:.4g}{behind}"
