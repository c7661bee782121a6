"""An estimate with its standard error, and the held-out likelihood."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.checks import check_number
from distill.contract import Batch
from distill.data import Data
from distill.evaluation.placing import evaluating, place, place_of, rows_at_once, total_of
from distill.models import Density
from distill.sharing import each


@dataclass(frozen=True)
class Estimate:
    """The mean of independent values, how far off it may be, and how many there were.

    Example:
        >>> print(Estimate.of(torch.tensor([1.0, 3.0])))
        2.0000 +- 1.0000 (2 values)
    """

    mean: float
    standard_error: float
    count: int

    @classmethod
    def of(cls, values: Tensor) -> Estimate:
        """Estimate the mean of `values` `(N,)`.

        Errors:
            ValueError: Fewer than two values.
        """
        if values.dim() != 1 or len(values) < 2:
            raise ValueError(
                f"Estimate: wanted at least 2 values in one row, got shape {tuple(values.shape)}. "
                "Ask for a larger count."
            )
        values = values.detach().double()
        error = float(values.std()) / math.sqrt(len(values))
        return cls(float(values.mean()), error, len(values))

    def __str__(self) -> str:
        """Show mean and standard error."""
        return f"{self.mean:.4f} +- {self.standard_error:.4f} ({self.count} values)"


@torch.no_grad()
def held_out_nll(
    model: Density, data: Data, size: int = 4096, limit: int | None = None
) -> Estimate:
    r"""Negative log-likelihood of the held-out values, $-\sum_t \log p(x_t)$, in nats a value.

    It is that of the values in data units, so that models with other scalings can be compared.

    Arguments:
        model: Any density; an IAF pays T sequential steps a batch.
        data: Its held-out part is scored as a whole.
        size: Values at once.
        limit: Stop after about as many values.
    """
    for name, number in (("size", size), ("limit", limit)):
        if number is not None:
            check_number(name, number, low=1, whole=True)
    device, dtype = place_of(model)

    def score(batch: Batch) -> Tensor:
        moved = place(batch, device, dtype)
        return -total_of(model.log_prob(moved.x, moved.features), moved.mask).cpu()

    def batches() -> Iterator[Batch]:
        seen = 0
        for batch in data.held_out(rows_at_once(size, data.spec.sites)):
            yield batch
            seen += len(batch.x)
            if limit is not None and seen >= limit:
                return

    with evaluating(model):
        return Estimate.of(torch.cat(each(batches(), score)))
