"""A masked linear layer, as in MADE, at the cost of the part that is not masked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from distill.functional import is_autocast, is_transformed

_BLOCK_ENTRIES = 65_536
_MAX_BLOCKS = 4


class MaskedLinear(nn.Module):
    """`x @ W.T + b`, where row o of W reaches only the first `reach[o]` inputs, `reach` rising.

    The zeros are kept in the weight itself: it starts masked and its gradient is masked, so that
    no product with a mask stands in the hot path. On a CPU large layers are computed in blocks of
    rows, each over the columns it reaches, which saves up to half of the arithmetic. A weight that
    was written to, by an optimizer or by hand, is masked before it is used again (call `mask_()`
    after `weight.data.add_(...)`, which leaves no trace); one that is computed (by a
    parametrization, or given to `functional_call`) is multiplied by the mask.
    Derivatives of any order are right, and `torch.func` (vmap, jacrev, jacfwd, hessian) works: it
    takes a plain product with the masked weight.

    Arguments:
        inputs: Number of inputs.
        reach: For each output, how many of the first inputs it sees; not decreasing.
        zero: Start at zero weights and biases.

    Example:
        >>> layer = MaskedLinear(3, reach=[0, 2])
        >>> (layer.weight != 0).tolist()
        [[False, False, False], [True, True, False]]
    """

    reach: Tensor
    _masked: tuple[int, int, int] | None = None

    def __init__(self, inputs: int, reach: Tensor | list[int], zero: bool = False) -> None:
        super().__init__()
        reach = torch.as_tensor(reach, device="cpu")
        # Made here and never later: what is made inside a transform or a trace belongs to it.
        self._plan = _cut(reach.tolist(), len(reach) * inputs)
        self.weight = nn.Parameter(torch.empty(len(reach), inputs))
        self.bias = nn.Parameter(torch.zeros(len(reach)))
        self.register_buffer("reach", reach.to(self.weight.device), persistent=False)
        if zero:
            nn.init.zeros_(self.weight)
        else:
            # Scaled by the inputs that a row really has, not by the width of the matrix.
            nn.init.uniform_(self.weight, -1, 1)
            with torch.no_grad():
                width = self.reach.clamp_min(1).sqrt()
                self.weight.div_(width[:, None])
                self.bias.uniform_(-1, 1).div_(width)
        self.mask_()
        self.register_load_state_dict_post_hook(_mask_again)

    @property
    def mask(self) -> Tensor:
        """1 where the weight may differ from zero, `(outputs, inputs)`."""
        columns = torch.arange(self.weight.shape[1], device=self.reach.device)
        return (columns < self.reach[:, None]).to(self.weight.dtype)

    @torch.no_grad()
    def mask_(self) -> None:
        """Set the weight to zero above the staircase."""
        weight = self.weight
        if weight.device.type == "cpu":  # in a fraction of the time that the whole mask takes
            for k in self._plan:
                weight[k.rows, k.low : k.high].mul_(k.below)
                weight[k.rows, k.high :].zero_()
        else:
            weight.mul_(self.mask.to(weight.device))
        self._masked = _state(weight)

    def _is_masked(self) -> bool:
        """Mask the weight if it was written to, and may be now; return whether it is masked."""
        weight = self.weight
        if torch.compiler.is_compiling():
            return torch.compiler.is_exporting()  # of a copy that was masked before
        if not (isinstance(weight, nn.Parameter) and weight.is_leaf) or weight.is_inference():
            return False
        if self._masked == _state(weight):
            return True
        if _get_current_dispatch_mode() is not None:
            return False  # Nothing may be written now.
        self.mask_()
        return True

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"inputs={self.weight.shape[1]}, outputs={self.weight.shape[0]}"

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, inputs)` to `(B, outputs)`."""
        if is_autocast(x.device) or is_transformed() or not self._is_masked():
            return nn.functional.linear(x, self.weight * self.mask, self.bias)
        blocks = self._blocks(x.device)
        if torch.is_grad_enabled():
            if torch.compiler.is_compiling():  # It can't follow products written in place.
                return nn.functional.linear(x, self.weight * self.mask, self.bias)
            return _MaskedProduct.apply(x, self.weight, self.bias, self.reach, blocks)
        if len(blocks) == 1:
            return nn.functional.linear(x, self.weight, self.bias)
        y = [
            nn.functional.linear(x[:, : k.high], self.weight[k.rows, : k.high], self.bias[k.rows])
            for k in blocks
        ]
        return torch.cat(y, 1)

    def _blocks(self, device: torch.device) -> list[_Block]:
        if device.type == "cpu":
            return self._plan
        # A GPU gains more from one large product than from half of the arithmetic.
        low, high = self._plan[0].low, self._plan[-1].high
        columns = torch.arange(low, high, device=self.reach.device)
        below = (columns < self.reach[:, None]).to(self.weight.dtype)
        return [_Block(slice(0, len(self.bias)), low, high, below)]


def _state(weight: Tensor) -> tuple[int, int, int]:
    """Return what tells whether a weight is another one, or was written to."""
    return id(weight), weight.data_ptr(), -1 if weight.is_inference() else weight._version


@dataclass(frozen=True)
class _Block:
    """Rows that reach column `high - 1` at most; all of them reach the columns before `low`."""

    rows: slice
    low: int
    high: int
    below: Tensor
    """0 where `weight[rows, low:high]` must be zero, 1 elsewhere: a product is ten times as fast as
    filling by a mask."""

    def turned(self, weight: Tensor) -> Tensor:
        """Return `weight[rows, :high].T`, in one operation for three."""
        row, column = weight.stride()
        offset = weight.storage_offset() + self.rows.start * row
        return weight.as_strided(
            (self.high, self.rows.stop - self.rows.start), (column, row), offset
        )


def _cut(reach: list[int], entries: int) -> list[_Block]:
    count = max(1, min(_MAX_BLOCKS, math.ceil(entries / _BLOCK_ENTRIES)))
    edges = [round(i * len(reach) / count) for i in range(count + 1)]
    blocks = []
    for a, b in pairwise(edges):
        if b > a:
            low, high = reach[a], reach[b - 1]
            columns = torch.arange(low, high, device="cpu")
            below = columns < torch.tensor(reach[a:b], device="cpu")[:, None]
            blocks.append(_Block(slice(a, b), low, high, below.to(torch.get_default_dtype())))
    return blocks


class _MaskedProduct(torch.autograd.Function):
    """Forward and backward by blocks, written in place: no concatenation, no sum of parts.

    A backward pass that is to be differentiated itself is plain products, which autograd follows.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, reach: Tensor, blocks: list[_Block]
    ) -> Tensor:
        ctx.save_for_backward(x, weight, reach)
        ctx.blocks = blocks
        y = x.new_empty(x.shape[0], weight.shape[0])
        for k in blocks:
            torch.addmm(bias[k.rows], x[:, : k.high], k.turned(weight), out=y[:, k.rows])
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, reach = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True
            below = (torch.arange(weight.shape[1], device=reach.device) < reach[:, None]).to(grad)
            grad_weight = (grad.T @ x) * below if ctx.needs_input_grad[1] else None
            return grad @ (weight * below), grad_weight, grad.sum(0), None, None
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.empty_like(x)
            done = 0
            for k in ctx.blocks:  # The columns that this block is the first to reach.
                seen, new = slice(k.rows.start, None), slice(done, k.high)
                torch.mm(grad[:, seen], weight[seen, new], out=grad_x[:, new])
                done = k.high
            grad_x[:, done:].zero_()
        if ctx.needs_input_grad[1]:
            grad_weight = torch.empty_like(weight)
            for k in ctx.blocks:
                own = grad_weight[k.rows]
                torch.mm(grad[:, k.rows].T, x[:, : k.high], out=own[:, : k.high])
                own[:, k.low : k.high].mul_(k.below)
                own[:, k.high :].zero_()
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum(0)
        return grad_x, grad_weight, grad_bias, None, None


@torch.no_grad()
def mask_weights(model: nn.Module) -> None:
    """Mask the weights of all layers that are parameters, before what may not write reads them."""
    for module in model.modules():
        if isinstance(module, MaskedLinear) and isinstance(module.weight, nn.Parameter):
            module.mask_()


def _mask_again(layer: MaskedLinear, _: object) -> None:
    # A function of the module, not a lambda, so that a model can be pickled.
    layer.mask_()
