"""What a sweep that searches is told of each job: one number of all that a stage measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser

_KEY = "goal="


class UnknownGoalError(ValueError):
    """No job of the search will measure what it is for, or it is several things."""


def without_goals(typed: Sequence[str], multirun: bool = True) -> tuple[list[str], list[str]]:
    """Return a command line without `goal=`, and the metrics that this names.

    Arguments:
        typed: Overrides.
        multirun: Whether they are a sweep.

    Errors:
        ValueError: Goals without a sweeper that searches, or such a sweeper without goals.

    Example:
        >>> without_goals(["seed=0", "hydra/sweeper=optuna", "goal=evaluate/kl"])
        (['seed=0', 'hydra/sweeper=optuna'], ['evaluate/kl'])
    """
    rest = [text for text in typed if not text.startswith(_KEY)]
    said = [text for text in typed if text.startswith(_KEY)]
    searches = any(
        text.startswith("hydra/sweeper=") and text != "hydra/sweeper=basic" for text in rest
    )
    if not said:
        if searches:
            raise ValueError(
                "hydra/sweeper: wanted goal=METRIC beside it, got none. Name the metric that it is "
                "to make small, as in goal=evaluate/student/kl, or several: goal=[...]."
            )
        return rest, []
    if not (searches and multirun):
        raise ValueError(
            f"{said[-1]}: wanted -m and a sweeper that searches beside it, as in "
            "hydra/sweeper=optuna. Add them, or leave out goal=."
        )
    if len(said) > 1:
        raise ValueError(f"goal: set twice, by {said[0]} and {said[1]}. Use goal=[..., ...].")
    value = OverridesParser.create().parse_override(said[0]).value()
    goals = value if isinstance(value, list) else [value]
    if not goals:
        raise ValueError("goal: wanted a metric or several, got none. Name one.")
    return rest, [str(getattr(goal, "text", goal)) for goal in goals]


def reached(goals: Sequence[str], found: Mapping[str, float | None]) -> float | list[float]:
    """Return what a job has reached: a number, or one for each of several goals.

    Arguments:
        goals: Metrics, whole or from a `/` on.
        found: What the job measured; not finite numbers are `None`.

    Errors:
        UnknownGoalError: It measured no such thing, or several.
        ValueError: What it measured is no finite number.

    Example:
        >>> reached(["kl"], {"student/kl": 0.25, "student/steps": 9})
        0.25
    """
    from distill.stages.comparing.table import meant

    values = []
    for goal in goals:
        try:
            names = meant(goal, list(found), "goal")
        except ValueError as error:
            raise UnknownGoalError(str(error)) from None
        if len(names) > 1:
            several = ", ".join(names[:8])
            raise UnknownGoalError(f"goal={goal}: means {len(names)} metrics: {several}. Name one.")
        value = found[names[0]]
        if value is None:
            raise ValueError(f"goal={goal}: wanted a finite number, and it is none in this run.")
        values.append(float(value))
    return values[0] if len(values) == 1 else values
