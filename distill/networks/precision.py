"""Parts of a network that stay in full precision under autocast."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_full(compute: Callable[[], Tensor], like: Tensor) -> Tensor:
    """Compute without autocast; an exported graph then has no region of autocast at all.

    Arguments:
        compute: What to compute.
        like: Of the device in question.

    Example:
        >>> layer, x = torch.nn.Linear(1, 1), torch.zeros(1)
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     layer(x).dtype, in_full(lambda: layer(x), x).dtype
        (torch.bfloat16, torch.float32)
    """
    if not torch.is_autocast_enabled(like.device.type):
        return compute()
    with torch.autocast(like.device.type, enabled=False):
        return compute()
