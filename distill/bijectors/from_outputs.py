"""Recomputation from outputs: layers with a parallel inverse keep their last value alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from distill.contract import Context
from distill.functional import is_autocast

Map = Callable[[Tensor, Context | None], tuple[Tensor, Tensor]]


class Again(NamedTuple):
    """What a layer's output tells: its input, and the way from there once more, with a graph.

    Arguments:
        value: The input that was found back, `(B, T)`.
        leaf: What stands for it in the graph.
        output: Of the layer, computed again.
        log_det: Likewise.
    """

    value: Tensor
    leaf: Tensor
    output: Tensor
    log_det: Tensor


class Step(NamedTuple):
    """A layer in one direction: its map and what undoes it, what its output tells, and itself."""

    apply: Map
    undo: Map
    again: Callable[[Tensor, Context | None], Again]
    layer: nn.Module


@dataclass
class _Found:
    """The value that the backward pass has come to."""

    value: Tensor | None = None


def undone(apply: Map, undo: Map, output: Tensor, context: Context | None) -> Again:
    """Find the input of a map by the map that undoes it, then apply it again."""
    with torch.no_grad():
        value = undo(output, context)[0].detach()
    leaf = value.detach().requires_grad_()
    return Again(value, leaf, *apply(leaf, context))


def from_outputs(
    steps: Sequence[Step], value: Tensor, context: Context | None
) -> tuple[Tensor, Tensor]:
    r"""Apply layers, and keep their last value alone for the backward pass.

    That pass goes from the last layer to the first: it undoes a layer to find what went in,
    $u_{l-1} = f_l^{-1}(u_l)$, computes this one layer again with a graph, and takes the gradient
    through it. So memory does not grow with the number of layers; values are found back up to
    rounding. Where the gradient is to be differentiated itself, that pass keeps its own graph.

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
    found, total = _Found(), torch.zeros_like(value)
    for step in steps:
        weights = list(step.layer.parameters())
        ends = step is steps[0], step is steps[-1]
        value, log_det = _Layer.apply(
            step, context, found, ends, len(given), value, *given, *weights
        )
        total = total + log_det
    return value, total


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        step: Step,
        context: Context | None,
        found: _Found,
        ends: tuple[bool, bool],
        size: int,
        value: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        value, log_det = step.apply(value, context)
        ctx.step, ctx.context, ctx.found, ctx.size = step, context, found, size
        (ctx.first, last), ctx.precision = ends, _precision(value)
        ctx.save_for_backward(*tensors[:size], *([value] if last else []))
        return value, log_det

    @staticmethod
    def backward(ctx: Any, grad: Tensor, grad_log_det: Tensor) -> tuple[Any, ...]:
        twice = torch.is_grad_enabled()  # somebody will differentiate the gradient itself
        given, ended = list(ctx.saved_tensors[: ctx.size]), ctx.saved_tensors[ctx.size :]
        output = ended[0] if ended else ctx.found.value
        with torch.enable_grad(), ctx.precision():
            if twice:
                again, read = _with_graph(ctx.step, output, ctx.context, given)
            else:
                wanted = ctx.needs_input_grad[6 : 6 + ctx.size]
                context, given = _apart(ctx.context, given, wanted)
                again = ctx.step.again(output.detach(), context)
                read = [*given, *ctx.step.layer.parameters()]
        # What carries a graph leads back to here: nobody would let go of it.
        ctx.found.value = None if ctx.first else again.value
        pairs = [(again.output, grad), (again.log_det, grad_log_det)]
        pairs = [(made, g.to(made.dtype)) for made, g in pairs if made.requires_grad]
        wanted = [tensor for tensor in read if tensor.requires_grad]
        grads = torch.autograd.grad(
            [made for made, _ in pairs],
            [again.leaf, *wanted],
            [g for _, g in pairs],
            create_graph=twice,
            allow_unused=True,
        )
        by_tensor = dict(zip(map(id, wanted), grads[1:], strict=True))
        others = [by_tensor.get(id(tensor)) for tensor in read]
        return None, None, None, None, None, grads[0], *others


class _Applied(nn.Module):
    """A layer whose `forward` is its map in the direction of a step."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.layer, self._map = step.layer, step.apply

    def forward(self, value: Tensor, context: Context | None) -> tuple[Tensor, Tensor]:
        return self._map(value, context)


def _with_graph(
    step: Step, output: Tensor, context: Context | None, given: Sequence[Tensor]
) -> tuple[Again, list[Tensor]]:
    """Find the input, and apply the map again, as functions of all that they depend on.

    Returns what came of it, and what the map read: views, since how the input depends on context
    and weights is no business of this layer.
    """
    value = step.undo(output, context)[0]
    leaf, *views = (tensor.view_as(tensor) for tensor in (value, *given))
    if not leaf.requires_grad:
        leaf.requires_grad_()
    weights = {
        f"layer.{name}": tensor.view_as(tensor) for name, tensor in step.layer.named_parameters()
    }
    tensors = iter(views)
    own = None if context is None else context.each(lambda _: next(tensors))
    made = functional_call(_Applied(step), weights, (leaf, own))
    return Again(value, leaf, *made), [*views, *weights.values()]


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
