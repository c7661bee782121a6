"""The contract of an objective, and the loss that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from distill import rows
from distill.checks import check_number
from distill.contract import Batch, Draw
from distill.models import Density, Flow

Schedule = Callable[[float], float]
"""A number as a function of training progress, 0 at the first step and 1 at the last."""


@dataclass(frozen=True)
class Loss:
    """One number to minimize, in nats per site, and named parts to watch."""

    value: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is not one number each; numbers of Python do as parts."""
        parts = {name: torch.as_tensor(part) for name, part in self.parts.items()}
        object.__setattr__(self, "parts", parts)
        numbers: dict[str, Any] = {"the loss": self.value, **parts}
        for name, number in numbers.items():
            if not isinstance(number, Tensor) or number.shape:
                shaped = isinstance(number, Tensor)
                got = f"shape {tuple(number.shape)}" if shaped else type(number).__name__
                raise ValueError(
                    f"Loss: wanted one number, a tensor, for {name}, got {got}. Average over the "
                    "rows of the batch, and over sites."
                )


class Objective(nn.Module):
    """Turns a draw and a teacher into one number: here sites are summed and the batch averaged.

    `forward(draw, student, teacher, batch, progress)` gives a `Loss`. `check(student, teacher)` is
    called once before training and refuses a pair that the objective can't serve. Models are given
    `batch.given("student")` and `batch.given("teacher")`, which are encoded once a step.

    Plain means over rows are right wherever the rows lie. What divides by a sum over the batch, is
    not linear in a mean, draws at random, or pairs rows, takes `distill.rows`.
    """

    def forward(
        self, draw: Draw, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Compute the loss of one batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the loss, hooks included.

        Errors:
            ValueError: It is no `Loss`.
        """
        loss = super().__call__(*args, **kwargs)
        if not isinstance(loss, Loss):
            raise ValueError(
                f"{type(self).__name__}: wanted a Loss from forward, got {type(loss).__name__}. "
                "Return Loss(value), in nats a site."
            )
        return loss

    def check(self, student: Flow, teacher: Density) -> None:
        """Raise a `ValueError` with the remedy if the pair is unsuitable."""

    def wants_draw(self, progress: float) -> bool:
        """Return whether `forward` reads the draw now; where it does not, it is given `None`."""
        return True


class WeightedSum(Objective):
    """A sum of objectives, each with a weight that may change over training.

    Arguments:
        terms: By name, an objective, or `{objective, weight}` with a number or a schedule.

    Errors:
        ValueError: No terms, terms that are no objectives, unknown settings of one, weights below 0
            or all of them 0.

    Example:
        >>> from distill.objectives import ForwardKL, ReverseKL
        >>> twice = {"objective": ForwardKL(), "weight": 2.0}
        >>> WeightedSum({"reverse": ReverseKL(), "forward": twice})
        WeightedSum(
          reverse=1.0, forward=2.0
          (terms): ModuleList(
            (0): ReverseKL(beta=1.0)
            (1): ForwardKL(pool=0)
          )
        )
    """

    def __init__(self, terms: Mapping[str, Objective | Mapping]) -> None:
        super().__init__()
        given: object = terms
        if not isinstance(given, Mapping) or not terms:
            got = "none" if isinstance(given, Mapping) else f"a {type(given).__name__}"
            raise ValueError(
                f"WeightedSum: wanted at least one term, as {{'kl': ReverseKL()}}, got {got}."
            )
        full = {name: _term(name, term) for name, term in terms.items()}
        # Not a ModuleDict, which could not hold a term named "forward".
        self.terms = nn.ModuleList(term["objective"] for term in full.values())
        self.weights = {name: term.get("weight", 1.0) for name, term in full.items()}
        for name, weight in self.weights.items():
            check_weight(f"WeightedSum: weight of {name}", weight)
        if not any(callable(weight) or weight for weight in self.weights.values()):
            raise ValueError(
                f"WeightedSum: wanted a weight above 0, got 0 for {', '.join(self.weights)}, by "
                "which nothing would be trained. Leave such terms out."
            )

    def extra_repr(self) -> str:
        """Show the weights."""
        return ", ".join(f"{name}={weight}" for name, weight in self.weights.items())

    def named_terms(self) -> Iterator[tuple[str, Objective]]:
        """Yield the terms with their names."""
        for name, term in zip(self.weights, self.terms, strict=True):
            assert isinstance(term, Objective)
            yield name, term

    def check(self, student: Flow, teacher: Density) -> None:
        """Check every term."""
        for _, term in self.named_terms():
            term.check(student, teacher)

    def wants_draw(self, progress: float) -> bool:
        """Return whether a term that counts now does."""
        return any(term.wants_draw(progress) for _, term, _ in self._weighed(progress))

    def _weighed(self, progress: float) -> Iterator[tuple[str, Objective, float]]:
        """Yield the terms that count now, with names and weights."""
        for name, term in self.named_terms():
            weight = at(self.weights[name], progress)
            if weight:
                yield name, term, weight

    def forward(
        self, draw: Draw | None, student: Flow, teacher: Density, batch: Batch, progress: float
    ) -> Loss:
        """Add up the terms; one whose weight is zero now is not computed."""
        total, parts = torch.zeros((), device=batch.x.device), {}
        for name, term, weight in self._weighed(progress):
            loss = term(draw, student, teacher, batch, progress)
            total = total + weight * loss.value
            parts.update({f"{name}/{key}": value for key, value in loss.parts.items()})
            parts[f"{name}/weight"] = torch.tensor(weight)
        return Loss(total, parts)


def _term(name: str, given: Any) -> Mapping[str, Any]:
    term = given if isinstance(given, Mapping) else {"objective": given}
    if "objective" not in term or set(term) - {"objective", "weight"}:
        raise ValueError(
            f"WeightedSum: term {name!r} wanted an objective and a weight, got "
            f"{', '.join(map(str, term)) or 'none'}."
        )
    if not isinstance(term["objective"], Objective):
        raise ValueError(
            f"WeightedSum: term {name!r} wanted an objective that is made, as ReverseKL(), got "
            f"{term['objective']!r:.60}."
        )
    return term


def at(value: float | Schedule, progress: float) -> float:
    """Evaluate a number or a schedule, which are not negative.

    Example:
        >>> at(2.0, 0.5), at(lambda progress: 1 - progress, 0.5)
        (2.0, 0.5)
    """
    if not callable(value):
        return value
    number = value(progress)
    check_number(f"{value} at progress {progress:g}", number, low=0)
    return number


def check_weight(name: str, value: Any) -> None:
    """Raise unless a weight is a number that is not negative, or a schedule of such.

    Example:
        >>> check_weight("ReverseKL: beta", -1.0)
        Traceback (most recent call last):
        ValueError: ReverseKL: beta: wanted a number of 0 or more, got -1.0.
    """
    ends = [(name, value)]
    if callable(value):
        ends = [(f"{name}, {value} at progress {p:g}", value(p)) for p in (0.0, 1.0)]
    for place, number in ends:
        check_number(place, number, low=0)


def per_site(log_ratio: Tensor, mask: Tensor | None = None) -> Tensor:
    """Average `(B, T)` over the batch and over sites, leaving masked sites out."""
    return rows.mean(log_ratio, mask)
