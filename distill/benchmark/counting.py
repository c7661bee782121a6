"""How much a sampler computes: operations of its products, bytes that its operations move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

Cost = Callable[[int], "Work"]
"""The work of a batch of so many values."""

_UNWRITTEN = {"empty", "empty_like", "empty_strided", "new_empty", "detach", "lift_fresh"}
_GATHERS = {"index", "index_select", "embedding", "gather"}


@dataclass(frozen=True)
class Work:
    """What one run computes.

    Arguments:
        flop: Floating-point operations of matrix products and convolutions.
        bytes: Read and written by the operations, each counted by itself, as if nothing stayed in
            a cache; `None` where it is unknown.
    """

    flop: float
    bytes: float | None = None

    def __add__(self, other: Work) -> Work:
        both = self.bytes is not None and other.bytes is not None
        return Work(self.flop + other.flop, self.bytes + other.bytes if both else None)  # type: ignore[operator]

    def __mul__(self, factor: float) -> Work:
        return Work(self.flop * factor, None if self.bytes is None else self.bytes * factor)


class _Traffic(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if not (func.is_view or name in _UNWRITTEN):
            given = tree_leaves((args[1:] if name in _GATHERS else args, kwargs))
            self.bytes += sum(_bytes(value) for value in (*given, *tree_leaves(result)))
            if name in _GATHERS:  # of the table it reads only what it gives
                self.bytes += sum(_bytes(value) for value in tree_leaves(result))
        return result


def count(run: Callable[[], object]) -> Work:
    """Count the work of a run, without gradients, by `torch.utils.flop_counter` and by its bytes.

    What compiled code does is seen by neither: count its plain twin.

    Arguments:
        run: Runs in eager torch.

    Example:
        >>> a, b = torch.ones(2, 3), torch.ones(3, 4)
        >>> count(lambda: a @ b)
        Work(flop=48, bytes=104)
    """
    with torch.no_grad(), _Traffic() as traffic, FlopCounterMode(display=False) as counter:
        run()
    return Work(counter.get_total_flops(), traffic.bytes)


def affine(work: Callable[[int], Work], low: int, high: int) -> Cost:
    r"""Return $w(n) = w(l) + \frac{n - l}{h - l}\,(w(h) - w(l))$, from two counts made when asked.

    Weights are read once a run, the rest grows with the batch, or with the sites: two counts of
    small runs give those of large ones exactly.

    Arguments:
        work: Counts a run of a size.
        low: One size.
        high: A larger one.

    Example:
        >>> affine(lambda n: Work(3 * n, 10 + n), 1, 2)(100)
        Work(flop=300.0, bytes=110.0)
    """

    @cache
    def ends() -> tuple[Work, Work]:
        return work(low), work(high)

    def cost(size: int) -> Work:
        first, second = ends()
        share = (size - low) / (high - low)
        return first * (1 - share) + second * share

    return cost


def _bytes(value: Any) -> int:
    """Return the bytes that a tensor really takes: repeated axes of stride 0 count once."""
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return 0
    size = value.element_size()
    for length, stride in zip(value.shape, value.stride(), strict=True):
        size *= length if stride else min(1, length)
    return size
