"""Sampling site after site in one way or the other: what baselines are made of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from distill.bijectors import Autoregressive, Inverse
from distill.contract import Context
from distill.distributions import Head
from distill.models import AutoregressiveDensity
from distill.networks import Conditioner

Generate = Callable[[Conditioner, Head, Tensor, Context | None, float], Tensor]
"""Draws all sites of a conditioner with a head, as `Conditioner.generate` does."""


@contextlib.contextmanager
def sampled_by(model: nn.Module, generate: Generate, incremental: bool) -> Iterator[None]:
    """Let a model's autoregressive parts sample in one way for a while.

    Arguments:
        model: A density.
        generate: How conditioners with a head draw.
        incremental: Whether autoregressive layers invert by steps, or by whole passes.
    """
    layers = [m for m in model.modules() if isinstance(m, Autoregressive)]
    networks = [m.conditioner for m in model.modules() if isinstance(m, AutoregressiveDensity)]
    before = [layer.incremental for layer in layers]
    try:
        for layer in layers:
            layer.incremental = incremental
        for network in networks:
            network.__dict__["generate"] = partial(generate, network)
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.incremental = was
        for network in networks:
            network.__dict__.pop("generate", None)


@torch.no_grad()
def generate_by_passes(
    conditioner: Conditioner,
    head: Head,
    noise: Tensor,
    context: Context | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Draw `(B, T)` by one whole pass of the network per site, as libraries do.

    Arguments:
        conditioner: The network.
        head: Its distribution of each site.
        noise: `(B, T, N)`.
        context: What the network reads.
        temperature: Scales the noise.
    """
    x = noise.new_zeros(noise.shape[:2])
    for site in range(x.shape[1]) if conditioner.order is None else conditioner.order:
        raw = conditioner(x, context)[:, site]
        x[:, site] = head.sample_from(raw, noise[:, site], temperature)
    return x


def is_sequential(model: nn.Module) -> bool:
    """Whether a model samples site after site."""
    return any(
        isinstance(m, AutoregressiveDensity)
        or (isinstance(m, Inverse) and isinstance(m.bijector, Autoregressive))
        for m in model.modules()
    )
