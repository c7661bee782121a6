"""The states of a WaveNet, between chunks and between single sites, and checks of its sizes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from distill.checks import check_number
from distill.networks.context_reader import ContextBlocks

_LONGEST_CYCLE = 24
_LEAST = {"kernel": 2, "skip_channels": 0}
_MOST = {"layers": 1_000, "cycles": 1_000, "block": 256}  # its triangle has r^2 / 2 numbers

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


def check_sizes(layers: int, cycles: int, **sizes: int) -> None:
    """Raise unless a stack of layers can be built, and what it looks back on be held."""
    for name, value in {"layers": layers, "cycles": cycles, **sizes}.items():
        low, most = _LEAST.get(name, 1), _MOST.get(name, 100_000)
        check_number(f"WaveNet.{name}", value, low=low, high=most, whole=True)
    if layers % cycles or layers // cycles > _LONGEST_CYCLE:
        raise ValueError(
            f"WaveNet: wanted layers in equal cycles of {_LONGEST_CYCLE} at most, whose dilations "
            f"double, got layers={layers} and cycles={cycles}."
        )


def check_reads(
    context: int, source: int, block: int, pitch_taps: int, longest_lag: int, pitch_periods: int
) -> None:
    """Raise unless what is read beside the input fits together; the first two are channels."""
    reads = {"context_channels": context, "source_channels": source}
    reads |= {"pitch_taps": pitch_taps, "longest_lag": longest_lag}
    for name, value in reads.items():
        check_number(f"WaveNet.{name}", value, low=0, whole=True)
    check_number("WaveNet.pitch_periods", pitch_periods, low=1, high=100, whole=True)
    if source and context < 1:
        raise ValueError(
            "WaveNet: wanted context_channels > 0 beside a source, got "
            f"{context} and source_channels={source}."
        )
    if pitch_periods > 1 and not pitch_taps:
        raise ValueError(
            f"WaveNet: wanted pitch_taps > 0 beside pitch_periods > 1, got pitch_taps=0 and "
            f"pitch_periods={pitch_periods}. Set pitch_taps=3, or leave pitch_periods at 1."
        )
    least = block + pitch_taps // 2
    if pitch_taps and (pitch_taps % 2 == 0 or longest_lag < least):
        raise ValueError(
            "WaveNet: wanted an odd number of pitch_taps and longest_lag >= block + half of "
            f"them, got pitch_taps={pitch_taps}, longest_lag={longest_lag}, block={block}."
        )
