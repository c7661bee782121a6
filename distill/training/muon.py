"""Momentum that is orthogonalized, for matrices; Adam for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from distill.checks import check_number

_SMALLEST = 16  # inputs or outputs below which a weight is left to Adam: an input, a last layer
_STEPS = 3  # five come no further, and cost half as much again
_A, _B, _C = 3.4445, -4.7750, 2.0315


class Muon(Optimizer):
    r"""Steps of one length in all directions of a matrix: momentum without its singular values.

    $$B \leftarrow \mu B + G,\qquad
      W \leftarrow W - \eta\,\lambda \sqrt{\max(m, n)}\;\mathrm{orth}(G + \mu B)$$

    for a weight W of m outputs and n inputs, kernels counted as inputs, whose orth is $UV^T$ of the
    singular value decomposition $USV^T$, approached by three steps of a Newton-Schulz iteration,
    which raises small singular values 40-fold, up to 0.7 to 1.2. A gated layer's gradient is mostly
    of a few directions; so the others are learnt too, in half the steps and less. What is no
    matrix, or has fewer than 16 inputs or outputs, is left to Adam with the same rate.

    The iteration is in single precision, for all weights of one shape at once: `torch.optim.Muon`
    takes one matrix after the other, in bfloat16, for which many CPUs have no units.

    Arguments:
        params: What to train.
        lr: Eta, Adam's too.
        momentum: Mu.
        scale: Lambda; at 0.2 a weight's numbers move as far as by Adam.
        betas: Adam's.
        fused: Adam's; by default where there is such a kernel.

    Errors:
        ValueError: A number out of range.

    Source: Jordan et al., Muon, 2024; the scale: Liu et al., Muon is scalable for LLM training,
    2025, arXiv 2502.16982.

    Example:
        >>> layer = torch.nn.Linear(32, 16)
        >>> optimizer = Muon(layer.parameters(), lr=0.01, scale=0.5)
        >>> before = layer.weight.detach().clone()
        >>> layer(torch.randn(8, 32)).square().sum().backward()
        >>> optimizer.step()
        >>> moved = torch.linalg.svdvals((layer.weight.detach() - before) / 0.01 / 0.5 / 32**0.5)
        >>> bool(((moved > 0.2) & (moved < 1.3))[:8].all())
        True
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        momentum: float = 0.95,
        scale: float = 0.5,
        betas: tuple[float, float] = (0.9, 0.99),
        fused: bool | None = None,
    ) -> None:
        check_number("Muon: lr", lr, low=0)
        check_number("Muon: momentum", momentum, low=0, below=1)
        check_number("Muon: scale", scale, above=0)
        given = list(params)
        matrices = [p for p in given if _is_matrix(p)]
        others = [p for p in given if not _is_matrix(p)]
        groups = [{"params": part} for part in (matrices, others) if part]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "scale": scale, "betas": betas})
        if fused is None:
            fused = {p.device.type for p in others} <= {"cpu", "cuda"}
        self._adam = Adam(others, lr, betas, fused=fused) if others else None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step; return what the closure does."""
        with torch.enable_grad():
            value = None if closure is None else closure()
        for group in self.param_groups:
            if _is_matrix(group["params"][0]):
                self._step(group)
            elif self._adam is not None:
                self._adam.param_groups[0].update(lr=group["lr"], betas=group["betas"])
                self._adam.step()
        return value

    def state_dict(self) -> dict[str, Any]:
        """Return the state, Adam's too."""
        own = super().state_dict()
        return own if self._adam is None else {**own, "adam": self._adam.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state."""
        state = dict(state_dict)
        others = state.pop("adam", None)
        super().load_state_dict(state)
        if self._adam is not None and others is not None:
            self._adam.load_state_dict(others)

    def _step(self, group: dict[str, Any]) -> None:
        alike: dict[Any, list[Tensor]] = {}
        for p in group["params"]:
            if p.grad is not None:
                kind = (p.shape[0], p[0].numel(), p.device, p.dtype)
                alike.setdefault(kind, []).append(p)
        for (rows, columns, *_), weights in alike.items():
            gradients = [p.grad.flatten(1) for p in weights if p.grad is not None]
            for p, gradient in zip(weights, gradients, strict=True):
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(gradient)
            momenta = [self.state[p]["momentum"] for p in weights]
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, gradients)
            ahead = torch._foreach_add(gradients, momenta, alpha=group["momentum"])
            length = -group["lr"] * group["scale"] * max(rows, columns) ** 0.5
            for p, move in zip(weights, orthogonal(torch.stack(ahead)), strict=True):
                p.add_(move.view_as(p), alpha=length)


def orthogonal(values: Tensor) -> Tensor:
    r"""Return matrices `(N, m, n)` with their singular values raised towards 1.

    $$X \leftarrow aX + (bXX^T + c(XX^T)^2)X$$

    It is done in single precision at least, from a matrix of norm 1.

    Example:
        >>> made = orthogonal(torch.randn(2, 8, 20))
        >>> bool((torch.linalg.svdvals(made) - 0.95).abs().max() < 0.5)
        True
    """
    x = values.to(torch.promote_types(values.dtype, torch.float32))
    wide = x.shape[-2] <= x.shape[-1]
    x = x if wide else x.mT
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(_STEPS):
        square = x @ x.mT
        factor = torch.baddbmm(square, square, square, beta=_B, alpha=_C)
        x = torch.baddbmm(x, factor, x, beta=_A)
    return (x if wide else x.mT).to(values.dtype)


def _is_matrix(value: Tensor) -> bool:
    return value.dim() > 1 and min(value.shape[0], value[0].numel()) >= _SMALLEST
