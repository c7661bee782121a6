"""Harmonics and voices by compiled loops, with a backward pass of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

Plain = Callable[[Tensor, Tensor], Tensor]
"""The same source of weights and gains, by operations."""


class HarmonicSource(torch.autograd.Function):
    """Waves and voices `(B, F * hop, 2 H + V)`: `apply(plain, hop, frames, weights, gain)`.

    Gradients go to weights and gains alone: frequencies and phases are given.

    Arguments:
        plain: The twin, for a backward pass that is to be differentiated itself.
        hop: Sites per frame.
        frames: Start, end, apart and phase, see `distill.kernels.harmonics.Frames`.
        weights: `(B, R, V, 2 H)`.
        gain: `(B, R, V)`.
    """

    @staticmethod
    def forward(
        ctx: Any, plain: Plain, hop: int, frames: tuple[Tensor, ...], weights: Tensor, gain: Tensor
    ) -> Tensor:
        """Compute, and keep the source itself."""
        # Imported here: numba costs half a second, and only this needs it.
        from distill.kernels.harmonics import Frames, source_forward

        batch, count = frames[0].shape
        width = weights.shape[3] + weights.shape[2]
        source = weights.new_empty(batch, count, hop, width)
        given = Frames(*map(_array, frames))
        source_forward(given, _array(weights), _array(gain), source.numpy())
        source = source.flatten(1, 2)
        ctx.plain, ctx.hop = plain, hop
        ctx.save_for_backward(weights, gain, source)
        return source

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of weights and gains."""
        from distill.kernels.harmonics import source_backward

        weights, gain, source = ctx.saved_tensors
        if torch.is_grad_enabled():  # somebody will differentiate the gradient itself
            own = [weights.view_as(weights), gain.view_as(gain)]
            found = torch.autograd.grad(ctx.plain(*own), own, grad, create_graph=True)
            return None, None, None, *found
        dweights, dgain = torch.empty_like(weights), torch.empty_like(gain)
        shape = (grad.shape[0], -1, ctx.hop, grad.shape[2])
        arrays = (_array(t.view(shape)) for t in (grad.contiguous(), source))
        source_backward(*arrays, _array(gain), dweights.numpy(), dgain.numpy())
        return None, None, None, dweights, dgain


def _array(value: Tensor) -> np.ndarray:
    return value.detach().contiguous().numpy()
