"""All gated layers of a WaveNet as one function of tensors."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Stack(NamedTuple):
    """The sizes of L gated layers.

    Arguments:
        kernel: Taps k of each.
        dilations: Distance between taps, a layer each.
        skips: S, 0 for none.
        held: Rows of the input per row of `Given.base`.
        goes_on: Whether the last layer has a residual path, which without skips is the result.
    """

    kernel: int
    dilations: tuple[int, ...]
    skips: int
    held: int
    goes_on: bool

    @property
    def shifts(self) -> list[list[int]]:
        """Return how far back each tap of each layer lies, the nearest one last."""
        return [[k * d for k in reversed(range(self.kernel))] for d in self.dilations]


class Given(NamedTuple):
    """What a stack computes from, beside its input `(B, N, C)`.

    Arguments:
        base: `(B or 1, R, L, 2 G)`: added before the gates; biases, and a context at its own rate.
        rows: `(B, N, D)`: a context with as many rows as the input, or `None`.
        project: `(L, 2 G, D)`: its weights.
        bias: `(L, C)`: added to the residual path.
        taps: `(L, 2 G, k C)`.
        out: `(L, C + S, G)`: residual rows first, zero in a last layer that does not go on.
    """

    base: Tensor
    rows: Tensor | None
    project: Tensor | None
    bias: Tensor
    taps: Tensor
    out: Tensor


def stack_by_operations(stack: Stack, h: Tensor, given: Given) -> Tensor:
    r"""Compute the sum of the skips `(B, N, S)`, or the last h where there are none.

    The plain twin of `distill.networks.gated_stack_fast`, differentiable as often as one likes.

    Arguments:
        stack: The sizes.
        h: `(B, N, C)`.
        given: Weights and context.

    Example:
        >>> weights = torch.ones(1, 3), torch.zeros(1, 4, 6), torch.zeros(1, 3, 2)
        >>> given = Given(torch.zeros(1, 1, 1, 4), None, None, *weights)
        >>> stack_by_operations(Stack(2, (1,), 0, 5, True), torch.zeros(1, 5, 3), given).sum()
        tensor(15.)
    """
    total: Any = 0
    sites, channels = h.shape[1:]
    for i, shifts in enumerate(stack.shifts):
        past = [F.pad(h, (0, 0, s, 0))[:, :sites] for s in shifts]
        z = torch.cat(past, -1) @ given.taps[i].T
        z = z + given.base[:, :, i].repeat_interleave(stack.held, 1)[:, :sites]
        if given.rows is not None and given.project is not None:
            z = z + given.rows @ given.project[i].T
        a, b = torch.sigmoid(z).chunk(2, -1)
        residual, skip = (((2 * a - 1) * b) @ given.out[i].T).split([channels, stack.skips], -1)
        total = total + skip
        h = h + residual + given.bias[i]
    return total if stack.skips else h
