"""Rational-quadratic splines by compiled loops, as an operation of autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from distill.kernels.spline import Shape, differentiate, evaluate

Twin = Callable[[Tensor, Tensor, bool], tuple[Tensor, Tensor]]


class CompiledSpline(torch.autograd.Function):
    """`apply(value, raw, inverse, shape, twin)`: mapped values and their log-derivatives.

    Shapes: value `S`, raw `S + (3 * bins - 1,)`, both results `S`. A gradient that is to be
    differentiated itself is computed by the plain twin.
    """

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, raw: Tensor, inverse: bool, shape: Shape, twin: Twin
    ) -> tuple[Tensor, Tensor]:
        """Compute, and keep what the backward pass needs."""
        result, log_det = (torch.empty(value.shape, dtype=value.dtype) for _ in range(2))
        shares = torch.softmax(raw[..., : 2 * shape.bins].unflatten(-1, (2, shape.bins)), -1)
        given = _flat(value), _rows(raw), shares.view(-1, 2, shape.bins).numpy()
        evaluate(*given, inverse, shape, _flat(result), _flat(log_det))
        ctx.save_for_backward(value, raw, shares)
        ctx.inverse, ctx.shape, ctx.twin = inverse, shape, twin
        return result, log_det

    @staticmethod
    def backward(ctx: Any, to_result: Tensor, to_log_det: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of value and raw."""
        value, raw, shares = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody will differentiate the gradient itself
            own = value.view_as(value), raw.view_as(raw)
            wanted = [t for t, wish in zip(own, ctx.needs_input_grad, strict=False) if wish]
            both, ends = ctx.twin(*own, ctx.inverse), (to_result, to_log_det)
            each = iter(torch.autograd.grad(both, wanted, ends, create_graph=True))
            found = [next(each) if wish else None for wish in ctx.needs_input_grad[:2]]
            return *found, None, None, None
        to_value = torch.empty(value.shape, dtype=value.dtype)
        to_raw = torch.empty(raw.shape, dtype=raw.dtype)
        given = _flat(value), _rows(raw), shares.view(-1, 2, ctx.shape.bins).numpy()
        ends = _flat(to_result), _flat(to_log_det)
        differentiate(*given, ctx.inverse, ctx.shape, *ends, _flat(to_value), _rows(to_raw))
        return to_value, to_raw, None, None, None


def _flat(t: Tensor) -> Any:
    return t.detach().contiguous().view(-1).numpy()


def _rows(t: Tensor) -> Any:
    return t.detach().contiguous().view(-1, t.shape[-1]).numpy()
