"""The rows of a batch that processes share: what is drawn for them, and sums over all of them.

A step's batch may be taken in shares, by several processes or one after the other. What a loss
computes of a row is the same in any share; what it takes of the whole batch goes through here, and
so does what is drawn at random. Without shares everything here is the plain operation.

A loss of the whole batch is the average over the shares of what each returns, weighted by its rows.
Plain means over rows are right by that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from distill.contract import Features


class Sampler(Protocol):
    """Draws a tensor of a shape, from the global generator or a given one."""

    def __call__(self, shape: tuple[int, ...], *, generator: torch.Generator | None) -> Tensor:
        """Draw."""


class ApartError(Exception):
    """A loss wants sums over the whole batch, which this share has not been given."""


@dataclass
class Share:
    """Rows `begin` to before `end` of a batch of `size`.

    Arguments:
        begin: First row.
        end: The row after the last.
        size: Rows of the whole batch.
        seed: Of the step.
        totals: Adds up numbers `(N,)`, without gradient, over all shares.
        across: Adds up a tensor over all shares that are computed at this moment, and passes the
            gradient back to each; `None` where some are not.
        after: Features of the row after the last one; after the batch's last that of its first.
    """

    begin: int
    end: int
    size: int
    seed: int
    totals: Callable[[Tensor], Tensor]
    across: Callable[[Tensor], Tensor] | None
    after: Callable[[], Features]
    _generators: dict[torch.device, torch.Generator] = field(default_factory=dict)

    @property
    def weight(self) -> float:
        """Its rows over those of the batch."""
        return (self.end - self.begin) / self.size

    def generator(self, device: torch.device) -> torch.Generator:
        """Return the step's generator: its numbers are those of a process that has all rows."""
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[device]


# Not a context variable: the backward pass, which may compute layers again, has threads of its own.
_share: Share | None = None


@contextmanager
def sharing(share: Share) -> Iterator[None]:
    """Compute a share of a batch, forward and backward."""
    global _share
    former, _share = _share, share
    try:
        yield
    finally:
        _share = former


def apart(sums: Tensor) -> Tensor:
    """Refuse to add up over shares.

    Errors:
        ApartError: Always.
    """
    raise ApartError


def drawn(
    sample: Sampler, shape: tuple[int, ...], device: torch.device | None = None, axis: int = 0
) -> Tensor:
    """Draw at random for the rows at hand: the same numbers for a row in whichever share.

    Arguments:
        sample: Draws.
        shape: Of the rows at hand.
        device: Where it draws.
        axis: That of the rows.

    Example:
        >>> drawn(torch.rand, (2, 3)).shape
        torch.Size([2, 3])
    """
    if _share is None:
        return sample(shape, generator=None)
    whole = (*shape[:axis], _share.size, *shape[axis + 1 :])
    generator = _share.generator(device or torch.device("cpu"))
    rows = sample(whole, generator=generator).narrow(axis, _share.begin, shape[axis])
    return rows.contiguous()


def dropout(x: Tensor, share: float) -> Tensor:
    """Leave out a share of the numbers at random, and scale up the others."""
    if not share:
        return x

    def sample(shape: tuple[int, ...], *, generator: torch.Generator | None) -> Tensor:
        return torch.rand(shape, generator=generator, device=x.device)

    return x * (drawn(sample, tuple(x.shape), x.device) >= share) / (1 - share)


def are_all() -> bool:
    """Return whether the rows at hand are the whole batch."""
    return _share is None


def count(values: Tensor) -> int:
    """Return the number of rows of the whole batch, given values `(B, ...)` of those at hand."""
    return len(values) if _share is None else _share.size


def mean(values: Tensor, mask: Tensor | None = None, exact: bool = False) -> Tensor:
    """Average over rows and all that is in them, leaving masked values out.

    Arguments:
        values: `(B, ...)`.
        mask: Weights of the same shape; `None` where all count alike.
        exact: Return the average of the whole batch in every share, for a function that is not
            linear in it.

    Example:
        >>> mean(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([1.0, 1.0, 0.0])).item()
        1.5
    """
    if mask is None and not (exact and _share):
        return values.mean()
    if _share is None:
        assert mask is not None
        return weighed(values, mask).sum() / mask.sum().clamp_min(1)
    if mask is None:
        mask = torch.ones_like(values)
    above, below = totals(weighed(values, mask).sum(), mask.sum())
    return (above / below.clamp_min(1)).to(values.dtype)


def weighed(values: Tensor, mask: Tensor | None) -> Tensor:
    """Multiply by a mask; what it leaves out need not be finite.

    Example:
        >>> weighed(torch.tensor([1.0, torch.nan]), torch.tensor([1.0, 0.0])).tolist()
        [1.0, 0.0]
    """
    return values if mask is None else torch.where(mask != 0, values, 0) * mask


def totals(*sums: Tensor) -> tuple[Tensor, ...]:
    """Add up sums over the rows at hand, scalars, over the whole batch.

    The gradient is that of the weighted average over shares.

    Example:
        >>> totals(torch.tensor(1.0), torch.tensor(2.0))
        (tensor(1.), tensor(2.))
    """
    if _share is None:
        return sums
    # Apple's GPUs have no double precision.
    wide = torch.float32 if sums[0].device.type == "mps" else torch.float64
    own = torch.stack([value.to(wide) for value in sums])
    whole = _share.totals(own.detach()) + (own - own.detach()) / _share.weight
    return tuple(w.to(value.dtype) for w, value in zip(whole.unbind(), sums, strict=True))


def sees_all() -> bool:
    """Return whether the whole batch is computed at this moment, here or in other processes."""
    return _share is None or _share.across is not None


def moments(x: Tensor, owner: object) -> tuple[Tensor, Tensor]:
    """Return mean and variance (biased) over all rows of the batch, with their gradient.

    Arguments:
        x: `(B, T)`, the rows at hand.
        owner: Who asks, for the error.

    Errors:
        ValueError: The batch is taken in parts, one after the other.
    """
    if _share is None:
        return x.mean(0), x.var(0, correction=0)
    if _share.across is None:
        raise ValueError(
            f"{type(owner).__name__}: wanted the whole batch at once, whose mean and variance it "
            "takes, got a part of it. Set accumulate=1, or build the model with another norm."
        )
    middle = _share.across(x.sum(0)) / _share.size
    return middle, _share.across((x - middle).square().sum(0)) / _share.size


def following(features: Features) -> Features:
    """Return for each row of a share the features of the next one; the first follows the last."""
    if not features:
        return features
    assert _share is not None
    after = _share.after() or {}
    return {k: torch.cat([v[1:], after[k].to(v.device)]) for k, v in features.items()}
