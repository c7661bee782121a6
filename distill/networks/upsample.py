"""Causal stages of a conditioning encoder: convolution at frame rate, and ways to a higher rate."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.4


class CausalStage(nn.Module):
    """A map of frames `(B, reach + F, C)` to `(B, F * rate, C')` that sees none after its own.

    Nothing is padded: the first `reach` frames have no output of their own, so that chunks give
    the same numbers as the whole.

    Attributes:
        channels: C'.
        reach: Frames seen before one's own.
        rate: Output rows per frame.
    """

    channels: int
    reach: int
    rate: int = 1

    def forward(self, padded: Tensor) -> Tensor:
        """Map a chunk that starts with the `reach` inputs before it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")


class FrameConv(CausalStage):
    """Convolution over the last `kernel` frames, and a leaky rectifier.

    Arguments:
        inputs: C.
        channels: C'.
        kernel: Frames seen by each.

    Example:
        >>> FrameConv(3, 8, kernel=3)(torch.randn(2, 10 + 2, 3)).shape
        torch.Size([2, 10, 8])
    """

    def __init__(self, inputs: int, channels: int, kernel: int = 3) -> None:
        super().__init__()
        self.channels = channels
        self.reach = kernel - 1
        self.kernel = kernel
        self.taps = nn.Linear(kernel * inputs, channels)

    def forward(self, padded: Tensor) -> Tensor:
        """Map a chunk that starts with the `reach` inputs before it."""
        frames = padded.shape[1] - self.reach
        taps = [padded[:, j : j + frames] for j in range(self.kernel)]
        return F.leaky_relu(self.taps(torch.cat(taps, -1)), SLOPE)


class TransposedConv(CausalStage):
    """Transposed convolution over time, kernel (3 bands, 2 `rate` sites), and a leaky rectifier.

    Each output row sees its own frame and the one before. The kernel starts as linear interpolation
    between them, so that the context is never near zero.

    Arguments:
        channels: C, which it keeps.
        rate: Output rows per frame.

    Source: Ping et al., ClariNet, 2018, arXiv 1807.07281.

    Example:
        >>> TransposedConv(3, rate=4)(torch.randn(2, 10 + 1, 3)).shape
        torch.Size([2, 40, 3])
    """

    reach = 1

    def __init__(self, channels: int, rate: int) -> None:
        super().__init__()
        self.channels, self.rate = channels, rate
        self.conv = nn.ConvTranspose2d(1, 1, (3, 2 * rate), stride=(1, rate), padding=(1, 0))
        rise = (torch.arange(rate) + 1) / rate
        with torch.no_grad():
            self.conv.weight *= 0.1
            nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
            self.conv.weight[0, 0, 1] += torch.cat([rise, 1 - rise])

    def forward(self, padded: Tensor) -> Tensor:
        """Map a chunk that starts with the frame before it."""
        image = self.conv(padded.transpose(1, 2)[:, None])[:, 0].transpose(1, 2)
        return F.leaky_relu(image[:, self.rate : -self.rate], SLOPE)


class Interpolation(CausalStage):
    """Linear interpolation from the frame before to the frame itself, reached at its last row.

    Arguments:
        channels: C, which it keeps.
        rate: Output rows per frame.

    Example:
        >>> Interpolation(1, rate=2)(torch.tensor([[[0.0], [1.0], [3.0]]])).flatten().tolist()
        [0.5, 1.0, 2.0, 3.0]
    """

    rise: Tensor
    reach = 1

    def __init__(self, channels: int, rate: int) -> None:
        super().__init__()
        self.channels, self.rate = channels, rate
        rise = ((torch.arange(rate) + 1) / rate)[:, None]
        self.register_buffer("rise", rise, persistent=False)

    def forward(self, padded: Tensor) -> Tensor:
        """Map a chunk that starts with the frame before it."""
        before, after = padded[:, :-1, None], padded[:, 1:, None]
        return torch.lerp(before, after, self.rise.to(padded.dtype)).flatten(1, 2)


def two_factors(hop: int) -> tuple[int, ...]:
    """Split a hop into two factors as near to each other as they get, the larger one first.

    Example:
        >>> two_factors(256), two_factors(300), two_factors(7)
        ((16, 16), (20, 15), (7,))
    """
    small = next(k for k in range(math.isqrt(hop), 0, -1) if hop % k == 0)
    return (hop // small, small) if small > 1 else (hop,)
