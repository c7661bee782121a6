"""Device, precision, evaluation mode and batch size of what is evaluated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from distill import rows
from distill.contract import Batch, Features
from distill.data import Data

_SITES_AT_ONCE = 2**22


@contextmanager
def evaluating(*models: nn.Module) -> Iterator[None]:
    """Put models in evaluation mode, and each of their modules back afterwards."""
    modes = [(m, m.training) for model in models for m in model.modules()]
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def place_of(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Return device and precision of a model."""
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(()))
    return like.device, like.dtype


def place(batch: Batch, device: torch.device, dtype: torch.dtype) -> Batch:
    """Return a batch on a device, its floats in a precision."""
    mask = None if batch.mask is None else batch.mask.to(device)
    return Batch(batch.x.to(device, dtype), move(batch.features, device, dtype), mask)


def move(features: Features, device: torch.device, dtype: torch.dtype) -> Features:
    """Return features on a device, floats in a precision."""
    if not features:
        return features
    return {
        k: v.to(device, dtype) if v.is_floating_point() else v.to(device)
        for k, v in features.items()
    }


def total_of(log_prob: Tensor, mask: Tensor | None = None) -> Tensor:
    """Sum over sites in double precision: (B, T) to (B,)."""
    return rows.weighed(log_prob.double(), mask).sum(-1)


def rows_at_once(size: int, sites: int | None) -> int:
    """Return how many values of T sites to take at once, at most `size`."""
    return max(1, min(size, _SITES_AT_ONCE // (sites or 1)))


def rows_of(features: Features, first: int, rows: int) -> Features:
    """Return `rows` rows from `first` on, starting again after the last one."""
    if not features:
        return features
    some = next(iter(features.values()))
    index = torch.arange(first, first + rows, device=some.device) % len(some)
    return {k: v[index] for k, v in features.items()}


def held_out_features(data: Data, count: int) -> Features:
    """Return the features of the first `count` held-out values, in turn where there are fewer."""
    if not data.spec.features:
        return None
    parts, rows = [], 0
    for batch in data.held_out(min(count, 1024)):
        assert batch.features is not None
        parts.append(batch.features)
        rows += len(batch.x)
        if rows >= count:
            break
    whole = {k: torch.cat([p[k] for p in parts]) for k in parts[0]}
    return rows_of(whole, 0, count)
