"""Seeded random numbers."""

from __future__ import annotations

import torch


def generator_for(device: torch.device | str, seed: int | None) -> torch.Generator | None:
    """Return a generator on `device`, or `None` (the global one) without a seed.

    `meta`, where tensors have shapes and no numbers, has none either.
    """
    if seed is None or torch.device(device).type == "meta":
        return None
    return torch.Generator(device).manual_seed(seed)
