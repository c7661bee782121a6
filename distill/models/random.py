"""Seeded random numbers."""

from __future__ import annotations

import torch

from distill.checks import check_seed


def generator_for(device: torch.device | str, seed: int | None) -> torch.Generator | None:
    """Return a generator on `device`, or `None` (the global one) without a seed.

    `meta`, where tensors have shapes and no numbers, has none either.

    Errors:
        ValueError: A seed that is no whole number, or below 0.
    """
    if seed is None:
        return None
    check_seed(seed)
    if torch.device(device).type == "meta":
        return None
    return torch.Generator(device).manual_seed(seed)
