"""The contract of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from distill.contract import Batch, DataSpec


@dataclass(frozen=True)
class Modes:
    """The parts that a density falls into, where they are known.

    Arguments:
        names: One name a mode.
        shares: Expected share of each mode `(M,)`; they sum to 1.
        assign: Values `(B, T)` to the mode of each `(B,)`, -1 for a value that belongs to none.

    Errors:
        ValueError: Names and shares differ in number, or the shares do not sum to 1.

    Example:
        >>> modes = Modes(("low", "high"), torch.tensor([0.5, 0.5]), lambda x: (x[:, 0] > 0).long())
        >>> modes.assign(torch.tensor([[-1.0], [2.0]])).tolist()
        [0, 1]
    """

    names: tuple[str, ...]
    shares: Tensor
    assign: Callable[[Tensor], Tensor]

    def __post_init__(self) -> None:
        """Check names and shares."""
        total = float(self.shares.sum())
        if self.shares.shape != (len(self.names),) or abs(total - 1) > 1e-4:
            raise ValueError(
                f"Modes: wanted one share for each of {len(self.names)} names, summing to 1; got "
                f"shares of shape {tuple(self.shares.shape)} that sum to {total:.4g}."
            )


class Data:
    """Training and held-out values `(B, T)` with their features; it knows no model.

    `train_batch(step, size, seed)` is a pure function of its arguments: a resumed run gets the
    batches that the uninterrupted one would have got. `held_out(size)` gives all held-out values,
    in the same order every time; the last batch may be smaller.

    Attributes:
        spec: What a model must know to be built.
        modes: The known modes, or `None`.
        entropy: Differential entropy of the density in nats a value, where known: no model's
            held-out NLL is below it, up to the standard error.
        train_size: Number of training values, or `None` where there is no end of them.
        batch_size: Values of a training step, where nobody says.
        parts: Names of what is kept back from training; `held_out` is always one of them.
    """

    spec: DataSpec
    modes: Modes | None = None
    entropy: float | None = None
    train_size: int | None = None
    batch_size: int = 512
    parts: tuple[str, ...] = ("held_out",)

    def train_batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the training batch of a step, counted from 0."""
        raise NotImplementedError(f"{type(self).__name__} does not define train_batch.")

    def train_rows(self, step: int, size: int, seed: int, begin: int, end: int) -> Batch:
        """Return rows `begin` to before `end` of a step's batch, for one process of several.

        Data whose rows are dear to read makes these alone.

        Errors:
            ValueError: `train_batch` gives something else than asked for.
        """
        batch: object = self.train_batch(step, size, seed)
        if not isinstance(batch, Batch) or len(batch.x) != size:
            got = len(batch.x) if isinstance(batch, Batch) else type(batch).__name__
            raise ValueError(
                f"{type(self).__name__}.train_batch: wanted a Batch of {size} values, got {got}. "
                "Begin with the first values again where they end."
            )
        return batch.part(begin, end)

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield all held-out values in batches."""
        raise NotImplementedError(f"{type(self).__name__} does not define held_out.")

    def part(self, name: str) -> Data:
        """Return the same data, whose held-out values are those of another of its `parts`.

        Errors:
            ValueError: There is no such part.
        """
        check_part(self, name)
        return self

    @property
    def watched(self) -> Data:
        """The data that training looks at: its `validation` part where there is one."""
        return self.part("validation" if "validation" in self.parts else "held_out")

    def identity(self) -> dict[str, Any]:
        """Return plain values that tell this data, and its split, from other data.

        `kind` and `spec`; where values have names those of `train` and `held_out`, else the number
        of `rows` and a hash of `values`. A resumed training and later stages compare it.
        """
        return {"kind": type(self).__name__, "spec": self.spec.to_dict()}

    def check_matches(self, spec: DataSpec) -> None:
        """Raise unless a model built for `spec` can read these values.

        Errors:
            ValueError: Another number of sites, other features, another sample rate or hop.
        """
        name = type(self).__name__
        for what in ("sites", "sample_rate", "hop"):
            mine, wanted = getattr(self.spec, what), getattr(spec, what)
            if mine != wanted:
                raise ValueError(
                    f"{name}: the model wants data with {what}={wanted}, this data has "
                    f"{what}={mine}. Use the data that the model was trained on."
                )
        mine, wanted = (
            {k: (f.kind, f.size) for k, f in s.features.items()} for s in (self.spec, spec)
        )
        if mine != wanted:
            raise ValueError(
                f"{name}: the model wants the features {wanted or 'none'}, this data has "
                f"{mine or 'none'}. Give the data the same condition columns."
            )


def check_part(owner: Data, name: str) -> None:
    """Raise unless data has a part."""
    if name not in owner.parts:
        raise ValueError(
            f"{type(owner).__name__}: wanted a part among {', '.join(owner.parts)}, got {name!r}."
        )


def check_request(owner: Data, step: int, size: int) -> None:
    """Raise unless a batch of `size` at `step` can be asked for."""
    if step < 0 or size < 1:
        raise ValueError(
            f"{type(owner).__name__}: wanted a step >= 0 and a batch size >= 1, got step={step}, "
            f"size={size}."
        )


def tensor_of(x: Tensor) -> Tensor:
    """Return values as `(B, T)` float64 on the CPU, for `assign` functions."""
    return x.detach().to("cpu", torch.float64)
