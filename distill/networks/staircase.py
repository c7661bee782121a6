"""A linear layer whose weight is zero above a staircase, at the cost of what is below it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_BLOCK_ENTRIES = 65_536
_MAX_BLOCKS = 4


class StaircaseLinear(nn.Module):
    """`x @ W.T + b`, where row o of W reaches only the first `reach[o]` inputs, `reach` rising.

    The zeros are kept in the weight itself: it starts masked and its gradient is masked, so that no
    product with a mask stands in the hot path. Large layers are computed in blocks of rows, each over
    the columns it reaches, which saves up to half of the arithmetic. Optimizers that treat entries
    one by one (SGD, Adam, AdamW) keep the zeros; after writing to the weight by hand, call `mask_()`.

    Arguments:
        inputs: Number of inputs.
        reach: For each output, how many of the first inputs it sees; not decreasing.
        zero: Start at zero weights and biases.

    Example:
        >>> layer = StaircaseLinear(3, reach=[0, 2])
        >>> (layer.weight != 0).tolist()
        [[False, False, False], [True, True, False]]
    """

    reach: Tensor

    def __init__(self, inputs: int, reach: Tensor | list[int], zero: bool = False) -> None:
        super().__init__()
        reach = torch.as_tensor(reach)
        self.blocks = _blocks(reach, inputs)
        self.weight = nn.Parameter(torch.empty(len(reach), inputs))
        self.bias = nn.Parameter(torch.zeros(len(reach)))
        self.register_buffer("reach", reach, persistent=False)
        if zero:
            nn.init.zeros_(self.weight)
        else:
            # Scaled by the inputs that a row really has, not by the width of the matrix.
            nn.init.uniform_(self.weight, -1, 1)
            with torch.no_grad():
                self.weight /= reach.clamp_min(1).sqrt()[:, None]
                self.bias.uniform_(-1, 1).div_(reach.clamp_min(1).sqrt())
        self.mask_()
        self.register_load_state_dict_post_hook(lambda module, _: module.mask_())

    @property
    def mask(self) -> Tensor:
        """1 where the weight may differ from zero, `(outputs, inputs)`."""
        columns = torch.arange(self.weight.shape[1], device=self.reach.device)
        return (columns < self.reach[:, None]).to(self.weight.dtype)

    @torch.no_grad()
    def mask_(self) -> None:
        """Set the weight to zero above the staircase."""
        self.weight.mul_(self.mask.to(self.weight.device))

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"inputs={self.weight.shape[1]}, outputs={self.weight.shape[0]}"

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, inputs)` to `(B, outputs)`."""
        if torch.is_grad_enabled() and self.weight.requires_grad:
            return _Staircase.apply(x, self.weight, self.bias, self.blocks, self.reach)
        if len(self.blocks) == 1:
            return nn.functional.linear(x, self.weight, self.bias)
        return _by_blocks(x, self.weight, self.bias, self.blocks)


def _blocks(reach: Tensor, inputs: int) -> list[tuple[int, int, int, int]]:
    """Split rows into blocks `(first row, last row + 1, columns all reach, columns any reaches)`."""
    outputs = len(reach)
    count = min(_MAX_BLOCKS, max(1, math.ceil(outputs * inputs / _BLOCK_ENTRIES)))
    edges = [round(i * outputs / count) for i in range(count + 1)]
    pairs = zip(edges, edges[1:], strict=False)
    return [(a, b, int(reach[a]), int(reach[b - 1])) for a, b in pairs if b > a]


def _by_blocks(x: Tensor, weight: Tensor, bias: Tensor, blocks: list) -> Tensor:
    y = [torch.addmm(bias[a:b], x[:, :high], weight[a:b, :high].T) for a, b, _, high in blocks]
    return y[0] if len(y) == 1 else torch.cat(y, 1)


class _Staircase(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, blocks: list, reach: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, weight, reach)
        ctx.blocks = blocks
        return _by_blocks(x, weight, bias, blocks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, reach = ctx.saved_tensors
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.zeros_like(x)
            for a, b, _, high in ctx.blocks:
                grad_x[:, :high].addmm_(grad[:, a:b], weight[a:b, :high])
        if ctx.needs_input_grad[1]:
            grad_weight = torch.zeros_like(weight)
            for a, b, low, high in ctx.blocks:
                torch.mm(grad[:, a:b].T, x[:, :high], out=grad_weight[a:b, :high])
                stairs = torch.arange(low, high, device=x.device) < reach[a:b, None]
                grad_weight[a:b, low:high] *= stairs
        return grad_x, grad_weight, grad.sum(0), None, None
