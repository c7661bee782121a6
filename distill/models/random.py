"""Seeded random numbers."""

from __future__ import annotations

import torch


def generator_for(device: torch.device | str, seed: int | None) -> torch.Generator | None:
    """Return a generator on `device`, or `None` (the global one) without a seed."""
    return None if seed is None else torch.Generator(device).manual_seed(seed)
