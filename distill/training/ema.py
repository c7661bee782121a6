"""Exponential moving average of weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    r"""A second model whose weights follow: $\bar w \leftarrow d\,\bar w + (1-d)\,w$.

    The decay grows from 0 as $\min(d, (1+n)/(10+n))$ after n updates: the start is forgotten.

    Arguments:
        model: The model to follow.
        decay: d; 0 makes the average equal the model.

    Example:
        >>> layer = nn.Linear(1, 1)
        >>> ema = EMA(layer, decay=0.0)
        >>> _ = layer.weight.data.fill_(3.0)
        >>> ema.update()
        >>> ema.model.weight.item()
        3.0
    """

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"EMA: wanted 0 <= decay < 1, got {decay}.")
        self.source = model
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay
        self.updates = 0
        pairs = [
            *zip(self.model.parameters(), (p.detach() for p in model.parameters()), strict=True),
            *zip(self.model.buffers(), model.buffers(), strict=True),
        ]
        self._followed = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Follow one step, running statistics too: they belong to the weights they stand beside."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        averages, values = zip(*self._followed, strict=True)
        torch._foreach_lerp_(averages, values, 1 - decay)
        for target, value in self._copied:
            target.copy_(value)
