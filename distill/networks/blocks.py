"""What a conditioner over blocks of sites needs beside its network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distill.functional import in_full


class InnerBlock(nn.Module):
    r"""Moves each site's location by a linear function of the block's earlier sites.

    $$m_j \leftarrow m_j + \sum_{i<j} c_{ji}\,v_i,\qquad 0 \le i < j < r$$

    A network over blocks sees whole blocks before its own. This keeps what neighbors tell of each
    other: the map of a block stays affine and lower triangular.

    Arguments:
        block: r.
        parameters_per_site: P.
        locations: Which of the P are locations; without any, nothing is moved.

    Attributes:
        coefficients: How many a block has: r (r - 1) / 2, row after row of the triangle, or 0
            where nothing is moved.

    Errors:
        ValueError: A location that is none of the P.

    Example:
        >>> inner = InnerBlock(block=3, parameters_per_site=2, locations=[0])
        >>> raw, c = torch.zeros(1, 1, 3, 2), torch.tensor([[[10.0, 1.0, 2.0]]])
        >>> inner(raw, c, torch.tensor([[[1.0, 2.0, 9.0]]]))[..., 0].tolist()
        [[[0.0, 10.0, 5.0]]]
    """

    pick: Tensor
    gather: Tensor
    moved: Tensor

    def __init__(self, block: int, parameters_per_site: int, locations: Sequence[int]) -> None:
        super().__init__()
        if not all(0 <= i < parameters_per_site for i in locations):
            raise ValueError(
                f"InnerBlock: wanted locations among the {parameters_per_site} parameters of a "
                f"site, got {list(locations)}. Pass those of the head or transform that reads them."
            )
        self.block = block
        rows, columns = torch.tril_indices(block, block, -1)
        moved = torch.zeros(parameters_per_site)
        moved[list(locations)] = 1
        self.coefficients = len(rows) if len(locations) else 0
        pick, gather = torch.zeros(block, len(rows)), torch.zeros(len(rows), block)
        pick[columns, torch.arange(len(rows))] = 1
        gather[torch.arange(len(rows)), rows] = 1
        # Not persistent: they follow from the sizes.
        self.register_buffer("pick", pick, persistent=False)
        self.register_buffer("gather", gather, persistent=False)
        self.register_buffer("moved", moved, persistent=False)

    def forward(self, raw: Tensor, coefficients: Tensor, values: Tensor) -> Tensor:
        """Move the locations among raw parameters.

        Arguments:
            raw: `(..., r, P)`.
            coefficients: `(..., r (r - 1) / 2)`.
            values: The block's own sites `(..., r)`; the last one is not used.
        """
        if not self.coefficients:
            return raw

        def shift() -> Tensor:
            return ((values @ self.pick) * coefficients) @ self.gather

        # It moves locations: half precision would blur them as it would blur the last layer.
        return raw + in_full(shift, values)[..., None] * self.moved


def whole_periods(lag: Tensor, block: int, around: int, longest: int, periods: int = 1) -> Tensor:
    """Return how far back the sites one, two, ... pitch periods ago lie, for each block.

    The block of sites at the first distance, and `around // 2` sites on both sides of it, have to
    lie before the block itself: where one period is too short, it begins with several.

    Arguments:
        lag: Sites of a period at the start of each block, 0 where nothing is voiced.
        block: r.
        around: Sites read around each, an odd number.
        longest: Largest distance; beyond it there is none.
        periods: How many distances, each a period farther than the one before.

    Returns:
        Whole sites, int64, `(*lag.shape, periods)`, 0 where there is none.

    Example:
        >>> whole_periods(torch.tensor([0.0, 7.6, 3.0, 99.0]), 4, around=3, longest=50, periods=2)
        tensor([[ 0,  0],
                [ 8, 15],
                [ 6,  9],
                [ 0,  0]])
    """
    least, lag = block + around // 2, lag[..., None]
    first = torch.ceil(least / lag.clamp_min(1e-3)).clamp_min(1)
    count = first + torch.arange(periods, dtype=lag.dtype, device=lag.device)
    distance = torch.floor(count * lag + 0.5)
    fits = (lag > 0) & (distance >= least) & (distance <= longest)
    return torch.where(fits, distance, 0).to(torch.int64)


def sites_ago(past: Tensor, distance: Tensor, block: int, around: int) -> Tensor:
    """Read the sites around each block's own, some distances ago; 0 where there is none.

    Arguments:
        past: `(B, H + N r)`: H sites before the first block, then the N blocks.
        distance: From `whole_periods`, `(B, N, P)`.
        block: r.
        around: Sites read around each.

    Returns:
        `(B, N, P (r + around - 1))`.

    Example:
        >>> past = torch.arange(1.0, 11.0)[None]  # H = 6, then two blocks of 2
        >>> sites_ago(past, torch.tensor([[[4], [0]]]), block=2, around=3)
        tensor([[[2., 3., 4., 5.],
                 [0., 0., 0., 0.]]])
    """
    blocks = distance.shape[1]
    before = past.shape[1] - blocks * block
    starts = before + block * torch.arange(blocks, device=past.device) - around // 2
    span = torch.arange(block + around - 1, device=past.device)
    index = (starts[:, None] - distance)[..., None] + span
    read = past.gather(1, index.clamp(0, past.shape[1] - 1).flatten(1)).view(index.shape)
    return (read * (distance > 0)[..., None]).flatten(2)
