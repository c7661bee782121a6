"""What a WaveNet remembers between chunks, and between single sites."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from distill.networks.context_reader import ContextBlocks

RunState = tuple[Tensor, ...]
"""The last input sites `(B, H)`, then each layer's last (k - 1) d inputs `(B, (k - 1) d, C)`."""


@dataclass
class StepState:
    """What has been read so far, written in place by each step.

    Arguments:
        read: The context, block by block.
        sites: H zeros, then the sites, `(B, H + T)` and room for a last block.
        rings: Each layer's last (k - 1) d inputs, `((k - 1) d, B, C)`.
        position: The site whose parameters come next.
        raw: Parameters `(B, r, P)` of the block at hand, before its own sites move them.
        coefficients: By how much they do, `(B, r (r - 1) / 2)`.
    """

    read: ContextBlocks
    sites: Tensor
    rings: list[Tensor]
    position: int = 0
    raw: Tensor | None = None
    coefficients: Tensor | None = None
