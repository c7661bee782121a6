"""Weights off their start, so that no part of a model is tested at its identity."""

from __future__ import annotations

import torch


def randomized(model, by=0.1):
    """Add normal noise to every weight of a model, but where masks forbid it."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    for part in model.modules():
        if hasattr(part, "mask_"):
            part.mask_()
    return model
