"""The time-varying all-pole filter on tensors: a compiled, differentiable form and a plain twin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from distill.kernels.synthesis import run_kernel


def filter_by_kernel(d: Tensor, past: Tensor, coefficients: Tensor, hop: int) -> Tensor:
    r"""Run $x_t = d_t + \sum_k a_k x_{t-k}$ by the compiled loop, on the CPU.

    Differentiable, as often as wanted, in `d` and `past`: the gradient is the transposed filter,
    which runs from the last site to the first, and whose own gradient is the filter.

    Arguments:
        d: Scaled excitation, `(B, F * hop)`, float64.
        past: The last p sites, oldest first, `(B, p)`, float64.
        coefficients: $a_1, \dots, a_p$, `(B, F, p)`, float64; constants.
        hop: Sites per frame.
    """
    return _Filter.apply(d, past, coefficients, hop)


def filter_by_sites(d: Tensor, past: Tensor, coefficients: Tensor, hop: int) -> Tensor:
    """Run the same filter site after site: plain, and differentiable in the coefficients too."""
    taps, recent, x = coefficients.flip(-1), past, []
    for t in range(d.shape[1]):
        x.append(d[:, t] + (taps[:, t // hop] * recent).sum(-1))
        recent = torch.cat([recent[:, 1:], x[-1][:, None]], 1)
    return torch.stack(x, 1)


def _run(rows: Tensor, coefficients: Tensor, hop: int, transposed: bool) -> Tensor:
    if rows.is_meta:  # shapes without numbers
        return torch.empty_like(rows)
    done = rows.detach().cpu().contiguous()
    run_kernel(
        done.numpy(),
        coefficients.detach().cpu().numpy(),
        hop,
        transposed,
        threads=torch.get_num_threads(),
    )
    return done.to(rows.device)


def _fold(info: Any, dims: tuple[int | None, ...], values: tuple[Tensor, ...]) -> list[Tensor]:
    """Move a mapped axis into the batch."""
    whole = []
    for value, dim in zip(values, dims, strict=True):
        lying = (
            value.expand(info.batch_size, *value.shape) if dim is None else value.movedim(dim, 0)
        )
        whole.append(lying.flatten(0, 1))
    return whole


class _Filter(torch.autograd.Function):
    """Past and scaled excitation to signal: linear in both."""

    @staticmethod
    def forward(d: Tensor, past: Tensor, coefficients: Tensor, hop: int) -> Tensor:
        order = past.shape[1]
        return _run(torch.cat([past, d], 1), coefficients, hop, False)[:, order:].contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])
        ctx.save_for_forward(inputs[2])
        ctx.hop = inputs[3]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        assert not ctx.needs_input_grad[2], "the plain twin gives gradients in the coefficients"
        return *_Transpose.apply(grad, ctx.saved_tensors[0], ctx.hop), None, None

    @staticmethod
    def jvp(ctx: Any, d: Tensor | None, past: Tensor | None, *others: Any) -> Tensor:
        a = ctx.saved_tensors[0]
        d = a.new_zeros(len(a), a.shape[1] * ctx.hop) if d is None else d
        past = a.new_zeros(len(a), a.shape[2]) if past is None else past
        return _Filter.apply(d, past, a, ctx.hop)

    @staticmethod
    def vmap(info: Any, in_dims: Any, d: Tensor, past: Tensor, a: Tensor, hop: int) -> Any:
        whole = _Filter.apply(*_fold(info, in_dims[:3], (d, past, a)), hop)
        return whole.unflatten(0, (info.batch_size, -1)), 0


class _Transpose(torch.autograd.Function):
    """Cotangents of the signal to those of scaled excitation and past: linear."""

    @staticmethod
    def forward(grad: Tensor, coefficients: Tensor, hop: int) -> tuple[Tensor, Tensor]:
        order = coefficients.shape[2]
        rows = torch.cat([grad.new_zeros(len(grad), order), grad], 1)
        done = _run(rows, coefficients, hop, True)
        return done[:, order:].contiguous(), done[:, :order].contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(inputs[1])
        ctx.save_for_forward(inputs[1])
        ctx.hop = inputs[2]

    @staticmethod
    def backward(ctx: Any, d: Tensor, past: Tensor) -> tuple[Tensor | None, ...]:
        return _Filter.apply(d, past, ctx.saved_tensors[0], ctx.hop), None, None

    @staticmethod
    def jvp(ctx: Any, grad: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
        return _Transpose.apply(grad, ctx.saved_tensors[0], ctx.hop)

    @staticmethod
    def vmap(info: Any, in_dims: Any, grad: Tensor, a: Tensor, hop: int) -> Any:
        whole = _Transpose.apply(*_fold(info, in_dims[:2], (grad, a)), hop)
        return tuple(part.unflatten(0, (info.batch_size, -1)) for part in whole), (0, 0)
