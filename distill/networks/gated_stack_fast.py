"""The gated layers of a WaveNet by compiled loops, with a backward pass of their own.

Of each layer its input and the two factors of its gates are kept. The plain twin is
`stack_by_operations`, which also gives derivatives of second order.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from distill.kernels import gated_stack as kernels
from distill.kernels import panels
from distill.kernels.blas import alone
from distill.kernels.gated_stack_backward import Gradients, backward
from distill.networks.gated_stack import Given, Stack, stack_by_operations


def stack_forward(stack: Stack, h: Tensor, given: Given) -> Tensor:
    """Compute the sum of the skips `(B, N, S)`, or the last h, and keep nothing."""
    total = h.new_zeros(*h.shape[:2], stack.skips)
    h = h.detach().clone(memory_format=torch.contiguous_format)
    layers = layers_of(stack, h, given, turned=True)

    def run(part: int, begin: int, end: int) -> None:
        kernels.forward(_array(h), _array(total), layers, begin, end)

    _shared_out(h.shape[0], run)
    return total if stack.skips else h


class GatedStack(torch.autograd.Function):
    """The stack with a gradient: `apply(stack, h, *given)`."""

    @staticmethod
    def forward(ctx: Any, stack: Stack, h: Tensor, *tensors: Any) -> Tensor:
        """Compute, and keep what the backward pass needs."""
        given, h = Given(*tensors), h.contiguous()
        layers, width = given.taps.shape[0], given.taps.shape[1]
        inputs, last = h.new_empty(layers - 1, *h.shape), torch.empty_like(h)
        kept = h.new_empty(layers, *h.shape[:2], width)
        total = h.new_zeros(*h.shape[:2], stack.skips)
        arrays = [_array(t) for t in (h, inputs, last, kept, total)]
        net = layers_of(stack, h, given, turned=True)

        def run(part: int, begin: int, end: int) -> None:
            kernels.forward_kept(*arrays, net, begin, end)

        _shared_out(h.shape[0], run)
        ctx.stack = stack
        ctx.save_for_backward(h, *tensors, inputs, kept)
        return total if stack.skips else last

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradient of whatever wants one."""
        h, *tensors, inputs, kept = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # somebody will differentiate the gradient itself
            return None, *_by_operations(ctx.stack, h, tensors, wanted, gradient)
        return None, *_backward(ctx.stack, h, Given(*tensors), inputs, kept, gradient, wanted)


def _by_operations(
    stack: Stack, h: Tensor, tensors: list[Any], wanted: tuple[bool, ...], gradient: Tensor
) -> tuple[Tensor | None, ...]:
    # Views: what one input has to do with another is no business of this function.
    own: list[Any] = [t if t is None else t.view_as(t) for t in (h, *tensors)]
    result = stack_by_operations(stack, own[0], Given(*own[1:]))
    inputs = [t for t, want in zip(own, wanted, strict=True) if want]
    found = torch.autograd.grad(result, inputs, gradient, create_graph=True, allow_unused=True)
    each = iter(found)
    return tuple(next(each) if want else None for want in wanted)


def _backward(
    stack: Stack,
    h: Tensor,
    given: Given,
    inputs: Tensor,
    kept: Tensor,
    gradient: Tensor,
    wanted: tuple[bool, ...],
) -> tuple[Tensor | None, ...]:
    # Written in place, so it has to be an array itself, not one that is copied from it.
    ends = (
        F.pad(gradient, (h.shape[2], 0))
        if stack.skips
        else gradient.clone(memory_format=torch.contiguous_format)
    )
    want = Given(*wanted[1:])  # type: ignore[arg-type]
    drows = h.new_zeros(h.shape[0] * bool(want.rows), *_rows(h, given)[0].shape[1:])
    net, parts = layers_of(stack, h, given, turned=False), _parts(h.shape[0])
    # What all sequences add to: room for each thread, or none where nobody wants it.
    shared = [
        h.new_zeros(parts, *((len(t) if wish else 0), *t.shape[1:]))
        for t, wish in (
            (given.base, True),
            (_rows(h, given)[1], want.project),
            (given.bias, want.bias),
            (given.taps, want.taps),
            (given.out, want.out),
        )
    ]

    def run(part: int, begin: int, end: int) -> None:
        base, *weights = (_array(t[part]) for t in shared)
        to = Gradients(_array(ends), base, _array(drows), *weights)
        backward(_array(h), _array(inputs), _array(kept), net, to, begin, end)

    _shared_out(h.shape[0], run)
    dbase, *rest = (t.sum(0) if parts > 1 else t[0] for t in shared)
    found = (ends[..., : h.shape[2]], dbase, drows, *rest)
    return tuple(t if wish else None for t, wish in zip(found, wanted, strict=True))


def layers_of(stack: Stack, h: Tensor, given: Given, *, turned: bool) -> kernels.Layers:
    """Return the layers as arrays, weights turned for the way forward."""
    rows, project = _rows(h, given)
    weights = given.taps, given.out, project
    taps, out, project = (t.mT.contiguous() if turned else t for t in weights)
    none = h.new_empty(len(taps), 0, 0, panels.PANEL)
    both = panels.panels(torch.cat([taps, project], 1)) if turned else none
    fits = turned and panels.fits(h.shape[2])  # the residual columns have panels of their own
    return kernels.Layers(
        base=_array(given.base),
        held=stack.held,
        rows=_array(rows),
        project=_array(project),
        bias=_array(given.bias),
        taps=_array(taps),
        out=_array(out),
        taps_panels=_array(both),
        out_panels=_array(panels.panels(out) if fits else none),
        shifts=np.array(stack.shifts),
        goes_on=stack.goes_on,
    )


def _rows(h: Tensor, given: Given) -> tuple[Tensor, Tensor]:
    """Return a context with as many rows as h and its weights, of no columns for none."""
    if given.rows is None or given.project is None:
        return h.new_empty(*h.shape[:2], 0), h.new_empty(*given.taps.shape[:2], 0)
    return given.rows, given.project


def _array(value: Tensor) -> np.ndarray:
    return value.detach().contiguous().numpy()


def _parts(batch: int) -> int:
    return max(1, min(torch.get_num_threads(), batch))


def _shared_out(batch: int, run: Callable[[int, int, int], None]) -> None:
    """Share sequences out over torch's threads: `run(part, begin, end)`."""
    parts = _parts(batch)
    if parts == 1:
        run(0, 0, batch)
        return
    edges = [round(i * batch / parts) for i in range(parts + 1)]
    with ThreadPoolExecutor(parts, initializer=alone) as pool:
        jobs = [pool.submit(run, i, *edge) for i, edge in enumerate(pairwise(edges))]
        for job in jobs:
            job.result()
