"""Exponential moving average of weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


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
        self._pairs: list[tuple[list[Tensor], list[Tensor]]] = [
            (list(self.model.parameters()), [p.detach() for p in model.parameters()]),
            (list(self.model.buffers()), list(model.buffers())),
        ]

    @torch.no_grad()
    def update(self) -> None:
        """Follow one step; buffers (running statistics) are copied."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        (averages, weights), (copies, buffers) = self._pairs
        torch._foreach_lerp_(averages, weights, 1 - decay)
        for target, buffer in zip(copies, buffers, strict=True):
            target.copy_(buffer)
