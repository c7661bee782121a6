"""What a WaveNet reads of its context, block by block: rows, source and pitch lag."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.contract import Context
from distill.networks.blocks import whole_periods


@dataclass(frozen=True)
class ContextBlocks:
    """A context taken apart, for N blocks of r sites.

    Arguments:
        rows: `(B, R, C)`, or `None`.
        held: Blocks that each row is held for.
        source: `(B, N, r S)`, or `None`.
        distance: Of the sites one, two, ... pitch periods ago, `(B, N, P)`, or `None`.
    """

    rows: Tensor | None = None
    held: int = 1
    source: Tensor | None = None
    distance: Tensor | None = None

    def at(self, n: int) -> ContextBlocks:
        """Return what concerns block n alone."""
        return ContextBlocks(
            None if self.rows is None else self.rows[:, n // self.held, None],
            1,
            None if self.source is None else self.source[:, n, None],
            None if self.distance is None else self.distance[:, n, None],
        )


@dataclass(frozen=True)
class ContextReader:
    """What to read of contexts.

    Arguments:
        channels: C of the rows, 0 for none.
        source: S, 0 for none.
        block: r.
        around: Sites around the one a pitch period ago, 0 for none.
        longest: Largest distance of these.
        periods: P: how many periods ago.

    Example:
        >>> context = Context(torch.zeros(2, 5, 3), hop=4, source=torch.zeros(2, 20, 2))
        >>> read = ContextReader(channels=3, source=2, block=2)(context, torch.zeros(2, 20))
        >>> read.rows.shape, read.held, read.source.shape
        (torch.Size([2, 5, 3]), 2, torch.Size([2, 10, 4]))
    """

    channels: int = 0
    source: int = 0
    block: int = 1
    around: int = 0
    longest: int = 0
    periods: int = 1

    def __call__(self, context: Context | None, x: Tensor) -> ContextBlocks:
        """Take the context of values `(B, T)` apart; only their shape counts.

        Errors:
            ValueError: A field is missing, or of another shape; a hop that fits no block.
        """
        if not self.channels and not self.around:
            return ContextBlocks()
        context = context or Context()
        blocks = -(-x.shape[1] // self.block)
        rows, held = self._rows(context, x, blocks) if self.channels else (None, 1)
        source = distance = None
        if self.source:
            source = self._of_sites("source", context.source, (*x.shape, self.source))
            source = F.pad(source, (0, 0, 0, blocks * self.block - x.shape[1]))
            source = source.unflatten(1, (blocks, self.block)).flatten(2)
        if self.around:
            lag = self._of_sites("lag", context.lag, tuple(x.shape))
            distance = whole_periods(
                lag[:, :: self.block], self.block, self.around, self.longest, self.periods
            )
        return ContextBlocks(rows, held, source, distance)

    def _rows(self, context: Context, x: Tensor, blocks: int) -> tuple[Tensor, int]:
        (batch, sites), hop = x.shape, context.hop
        rows = context.rows
        if rows is not None and rows.dim() == 2 and rows.shape == (batch, self.channels):
            return rows[:, None], blocks
        fits = rows is not None and rows.dim() == 3 and rows.shape[1] * hop == sites
        if not fits or rows is None or rows.shape[::2] != (batch, self.channels):
            got = "none" if rows is None else f"{tuple(rows.shape)} with hop {hop}"
            raise ValueError(
                f"WaveNet: for {batch} x {sites} sites wanted context rows of shape ({batch}, "
                f"rows, {self.channels}) with rows * hop = {sites}, or ({batch}, {self.channels}); "
                f"got {got}. Pass the features it was trained with, and whole frames."
            )
        if hop % self.block == 0:
            return rows, hop // self.block
        if self.block % hop:
            raise ValueError(
                f"WaveNet: wanted a block that divides the {hop} sites of a row, or is a multiple "
                f"of them, got block={self.block}. Choose another block."
            )
        each = self.block // hop
        ends = rows[:, -1:].expand(-1, blocks * each - rows.shape[1], -1)
        return torch.cat([rows, ends], 1).unflatten(1, (blocks, each)).mean(2), 1

    @staticmethod
    def _of_sites(name: str, value: Tensor | None, wanted: tuple[int, ...]) -> Tensor:
        if value is None or value.shape != wanted:
            got = "none" if value is None else tuple(value.shape)
            raise ValueError(
                f"WaveNet: wanted a context with a {name} of shape {wanted}, got {got}. Use an "
                "encoder that makes one (HarmonicEncoder), and the features of these very sites."
            )
        return value
