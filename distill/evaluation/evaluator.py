"""The contract of an evaluator, and its report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from distill.data import Data
from distill.evaluation.estimate import Estimate
from distill.models import Density

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Report:
    """What an evaluation found, by name; names with `/` become groups in TensorBoard.

    Arguments:
        scalars: Numbers.
        figures: Pictures; save them with `figure.savefig(path)`.
        audio: A waveform `(T,)` and its sample rate.
        tables: Text in Markdown.
    """

    scalars: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    audio: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, estimate: Estimate, sites: int | None = None) -> None:
        """Add an estimate with its standard error, and its mean per site."""
        self.scalars[name] = estimate.mean
        self.scalars[f"{name}/standard_error"] = estimate.standard_error
        if sites is not None:
            self.scalars[f"{name}/per_site"] = estimate.mean / sites


def reported(report: Report, by: Evaluator) -> Report:
    """Return what an evaluator gave, if it is a report.

    Errors:
        ValueError: It is something else, a dictionary of numbers say.
    """
    given: object = report
    if not isinstance(given, Report):
        raise ValueError(
            f"evaluator: wanted a Report of distill.evaluation from {type(by).__name__}, got "
            f"{type(given).__name__}. Return Report(scalars={{name: number}})."
        )
    return report


class Evaluator:
    """Judges models: cheaply during training, thoroughly at the end.

    Attributes:
        looks: How often it has watched the training already, also before that was resumed.
    """

    looks: int = 0

    def check(self, data: Data) -> None:
        """Raise a `ValueError` with the remedy, before training, if data is too little to judge."""

    def watch(
        self, model: Density, data: Data, seed: int, teacher: Density | None = None
    ) -> Report:
        """Look at a model during training; with a teacher, at a student."""
        raise NotImplementedError(f"{type(self).__name__} does not define watch.")

    def evaluate(self, teacher: Density, student: Density, data: Data, seed: int) -> Report:
        """Compare a student with its teacher and with the data."""
        raise NotImplementedError(f"{type(self).__name__} does not define evaluate.")
