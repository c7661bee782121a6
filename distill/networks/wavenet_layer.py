"""One gated dilated causal layer of a WaveNet, and what each reads of the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.functional import is_as_built

Rows = Callable[[], Tensor | None]
"""Gives the projected context of one layer."""


class WaveNetLayer(nn.Module):
    """Taps at distance `dilation`, a gate, and a map to residual and skip channels.

    The convolution is one matrix product of the taps laid side by side, `(B, T, k C)`.

    Arguments:
        channels: Input channels.
        gate: Channels after the gate.
        residual: Channels added to the input: `channels`, or 0 where nothing reads them.
        skip: Channels of the skip, 0 for none.
        kernel: Number of taps k.
        dilation: Distance d between taps.

    Example:
        >>> layer = WaveNetLayer(8, 8, 8, 4, kernel=2, dilation=4)
        >>> [y.shape[-1] for y in layer(torch.randn(1, 10, 8))]
        [8, 4]
    """

    def __init__(
        self, channels: int, gate: int, residual: int, skip: int, kernel: int, dilation: int
    ) -> None:
        super().__init__()
        self.sizes = [residual, skip]
        self.kernel, self.dilation = kernel, dilation
        self.reach = (kernel - 1) * dilation
        self.taps = nn.Linear(kernel * channels, 2 * gate)
        self.out = nn.Linear(gate, residual + skip)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"kernel={self.kernel}, dilation={self.dilation}"

    def forward(
        self, h: Tensor, context: Tensor | None = None, hop: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Map a whole sequence `(B, T, C)` to the next layer's input and the skip `(B, T, S)`."""
        shifts = [min(self.reach - j * self.dilation, h.shape[1]) for j in range(self.kernel - 1)]
        taps = [F.pad(h, (0, 0, shift, -shift)) for shift in shifts]
        return self._finish(h, self.taps(torch.cat([*taps, h], -1)), context, hop)

    def projecting(self, row: Rows, hop: int, h: Tensor) -> tuple[Tensor, Tensor]:
        """Map a whole sequence, and project its context only now."""
        return self(h, row(), hop)

    def run(
        self, h: Tensor, context: Tensor | None, hop: int, past: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Do the same for a chunk, after the last `reach` inputs `past`; return the new past."""
        padded, sites = torch.cat([past, h], 1), h.shape[1]
        taps = [padded.narrow(1, j * self.dilation, sites) for j in range(self.kernel - 1)]
        result = self._finish(h, self.taps(torch.cat([*taps, h], -1)), context, hop)
        return *result, padded.narrow(1, sites, self.reach).contiguous()

    def step(
        self, h: Tensor, context: Tensor | None, ring: Tensor, position: int
    ) -> tuple[Tensor, Tensor]:
        """Do the same for one site `(B, C)`; the ring `(reach, B, C)` is written in place."""
        slots = [(position + j * self.dilation) % self.reach for j in range(self.kernel - 1)]
        z = self.taps(torch.cat([*(ring[slot] for slot in slots), h], -1))
        ring[position % self.reach] = h
        return self._finish(h, z, context, 1)

    def _finish(
        self, h: Tensor, z: Tensor, context: Tensor | None, hop: int
    ) -> tuple[Tensor, Tensor]:
        if context is not None and hop > 1:
            z = (z.unflatten(1, (-1, hop)) + context[:, :, None]).flatten(1, 2)
        elif context is not None:
            z = z + context
        # tanh(z / 2) = 2 sigmoid(z) - 1: one sigmoid over both halves, much faster on CPUs.
        a, b = torch.sigmoid(z).chunk(2, -1)
        residual, skip = self.out((2 * a - 1) * b).split(self.sizes, -1)
        return (h + residual if self.sizes[0] else h), skip


def rows_of_layers(
    project: nn.Linear | None, rows: Tensor | None, held: int, layers: int
) -> Sequence[Rows]:
    """Return what projects rows `(B, R, C)` for each layer.

    Arguments:
        project: For all layers at once.
        rows: Of the context, `None` for none.
        held: Blocks that each row is held for.
        layers: Their number.
    """
    if project is None or rows is None:
        return [lambda: None] * layers
    if held > 1 or not is_as_built(project, nn.Linear):
        return [partial(_given, part) for part in project(rows).chunk(layers, -1)]
    # At the rate of blocks all layers at once would take layers times their memory.
    biases = [None] * layers if project.bias is None else project.bias.chunk(layers)
    pairs = zip(project.weight.chunk(layers), biases, strict=True)
    return [partial(F.linear, rows, weight, bias) for weight, bias in pairs]


def _given(row: Tensor) -> Tensor:
    return row
