"""Recomputation from outputs: layers with a parallel inverse keep their last value alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from distill.contract import Context
from distill.functional import is_autocast

Map = Callable[[Tensor, Context | None], tuple[Tensor, Tensor]]


class Step(NamedTuple):
    """A layer in one direction: its map, the map that undoes it, and the layer itself."""

    apply: Map
    undo: Map
    layer: nn.Module


def from_outputs(
    steps: Sequence[Step], value: Tensor, context: Context | None
) -> tuple[Tensor, Tensor]:
    r"""Apply layers, and keep their last value alone for the backward pass.

    That pass goes from the last layer to the first: it undoes a layer to find what went in,
    $u_{l-1} = f_l^{-1}(u_l)$, computes this one layer again with a graph, and takes the gradient
    through it. So memory does not grow with the number of layers; values are found back up to
    rounding.

    Arguments:
        steps: In the order in which they are applied; each is undone in one parallel pass.
        value: `(B, T)`.
        context: What layers read.

    Returns:
        The value after the last layer, and the sum of the log-determinants, `(B, T)`.

    Source: Gomez et al., The reversible residual network, 2017, arXiv 1707.04585.
    """
    given: list[Tensor] = []
    if context is not None:
        context.each(lambda tensor: given.append(tensor) or tensor)  # type: ignore[func-returns-value]
    weights = list({id(p): p for step in steps for p in step.layer.parameters()}.values())
    return _FromOutputs.apply(steps, context, len(given), value, *given, *weights)


class _FromOutputs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        steps: Sequence[Step],
        context: Context | None,
        size: int,
        value: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        total = torch.zeros_like(value)
        for step in steps:
            value, log_det = step.apply(value, context)
            total = total + log_det
        ctx.steps, ctx.context, ctx.size = steps, context, size
        ctx.precision = _precision(value)
        ctx.save_for_backward(value, *tensors[:size])
        ctx.weights = tensors[size:]
        return value, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_log_det: Tensor) -> tuple[Any, ...]:
        value, *given = ctx.saved_tensors
        wanted = ctx.needs_input_grad[4 : 4 + ctx.size]
        context, given = _apart(ctx.context, given, wanted)
        sums: dict[int, Tensor] = {}
        for step in reversed(ctx.steps):
            with torch.no_grad(), ctx.precision():
                value = step.undo(value, context)[0].detach()
            weights = [p for p in step.layer.parameters() if p.requires_grad]
            read = [tensor for tensor in given if tensor.requires_grad]
            with torch.enable_grad(), ctx.precision():
                x = value.requires_grad_()
                y, log_det = step.apply(x, context)
            outputs = [(y, grad.to(y.dtype)), (log_det, grad_log_det.to(log_det.dtype))]
            outputs = [pair for pair in outputs if pair[0].requires_grad]
            found = torch.autograd.grad(
                [output for output, _ in outputs],
                [x, *read, *weights],
                [pair[1] for pair in outputs],
                allow_unused=True,
            )
            assert found[0] is not None, "a bijector's value depends on its input"
            grad, value = found[0], value.detach()
            for tensor, more in zip([*read, *weights], found[1:], strict=True):
                if more is not None:
                    before = sums.get(id(tensor))
                    sums[id(tensor)] = more if before is None else before + more
        others = [sums.get(id(tensor)) for tensor in (*given, *ctx.weights)]
        return None, None, None, grad, *others


def _apart(
    context: Context | None, given: Sequence[Tensor], wanted: Sequence[bool]
) -> tuple[Context | None, list[Tensor]]:
    """Return the context, and its tensors, outside of the graph they came from."""
    alone = [t.detach().requires_grad_(w) for t, w in zip(given, wanted, strict=True)]
    if context is None:
        return None, alone
    tensors = iter(alone)
    return context.each(lambda _: next(tensors)), alone


def _precision(value: Tensor) -> Callable[[], AbstractContextManager]:
    """Return what brings back the mixed precision of now."""
    device = value.device
    if not is_autocast(device):
        return nullcontext
    dtype = torch.get_autocast_dtype(device.type)
    return lambda: torch.autocast(device.type, dtype)
