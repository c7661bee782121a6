"""What networks promise under autocast, shared by their tests."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def check_bfloat16(net: nn.Module, x: Tensor) -> None:
    """Results are in float32, near those of full precision, and not the same."""
    with torch.autocast("cpu", torch.bfloat16):
        half = net(x)
    full = net(x)
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().max() < 0.05 * full.std()
