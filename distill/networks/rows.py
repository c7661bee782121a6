"""What a WaveNet reads of its context."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Rows(NamedTuple):
    """A context taken apart.

    Arguments:
        rows: `(B, F, C)`, or `None` without a context.
        hop: Sites that each row is held for.
        source: `(B, T, S)` at site rate, or `None`.
    """

    rows: Tensor | None
    hop: int
    source: Tensor | None


def read_rows(context: Tensor | None, x: Tensor, channels: int, hop: int, source: int) -> Rows:
    """Take the context of values `(B, T)` apart.

    Arguments:
        context: `(B, T / hop, C + hop S)`, `(B, T, C + S)`, or `(B, C)` without a source.
        x: The values; only their shape counts.
        channels: C.
        hop: Sites per row.
        source: S.

    Errors:
        ValueError: Another shape.

    Example:
        >>> import torch
        >>> read = read_rows(torch.zeros(2, 5, 3 + 4 * 2), torch.zeros(2, 20), 3, 4, 2)
        >>> read.rows.shape, read.hop, read.source.shape
        (torch.Size([2, 5, 3]), 4, torch.Size([2, 20, 2]))
    """
    batch, sites = x.shape
    if context is not None and context.shape[0] == batch:
        width = context.shape[-1]
        if context.dim() == 2 and width == channels and not source:
            return Rows(context[:, None], sites, None)
        for held in (hop, 1):
            fits = context.dim() == 3 and context.shape[1] * held == sites
            if fits and width == channels + held * source:
                if not source:
                    return Rows(context, held, None)
                per_site = context[..., channels:].unflatten(-1, (held, source)).flatten(1, 2)
                return Rows(context[..., :channels], held, per_site)
    got = "none" if context is None else tuple(context.shape)
    raise ValueError(
        f"WaveNet: for {batch} x {sites} sites wanted a context of shape ({batch}, frames, "
        f"{channels + hop * source}) with frames * {hop} = {sites}, or one row per site"
        f"{'' if source else f', or ({batch}, {channels})'}; got {got}. Pass the features it was "
        "trained with, and whole frames."
    )
