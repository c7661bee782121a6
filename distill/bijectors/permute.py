"""Reorderings of sites."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distill.bijectors.base import Bijector
from distill.checks import check_sites, permutation
from distill.contract import Context


class Flip(Bijector):
    """Reverse the order of sites; between two autoregressive layers, each site sees the others.

    Example:
        >>> Flip()(torch.tensor([[1.0, 2.0, 3.0]]))[0].tolist()
        [[3.0, 2.0, 1.0]]
    """

    is_affine = True
    is_parallel = True

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Reverse the sites."""
        return u.flip(-1), torch.zeros_like(u)

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Reverse the sites."""
        return x.flip(-1), torch.zeros_like(x)


class Permute(Bijector):
    """Reorder sites: site t of the output is site `order[t]` of the input.

    Arguments:
        order: A permutation of 0 .. T-1.

    Errors:
        ValueError: `order` is not a permutation.

    Example:
        >>> Permute([2, 0, 1])(torch.tensor([[1.0, 2.0, 3.0]]))[0].tolist()
        [[3.0, 1.0, 2.0]]
    """

    is_affine = True
    is_parallel = True
    order: Tensor
    back: Tensor

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        sites = permutation(order)
        if sites is None:
            raise ValueError(f"Permute: wanted each of 0, 1, 2, ... once, got order={order!r:.60}.")
        self.register_buffer("order", torch.tensor(sites, dtype=torch.long))
        self.register_buffer("back", torch.argsort(self.order))

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Reorder the sites."""
        check_sites(self, u, len(self.order))
        return u[:, self.order], torch.zeros_like(u)

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Put the sites back."""
        check_sites(self, x, len(self.order))
        return x[:, self.back], torch.zeros_like(x)
