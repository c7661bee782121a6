"""An explicit autoregressive density: a causal network and an output head."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from distill.contract import DataSpec, Features
from distill.distributions import Conditional, Head
from distill.models.density import Density
from distill.models.random import generator_for
from distill.networks import Conditioner


class AutoregressiveDensity(Density):
    r"""$\log p(x) = \sum_t \log p(x_t \mid x_{<t}, c)$, each factor given by a head.

    Scored in one parallel pass, sampled site after site by the conditioner's incremental steps.

    Arguments:
        conditioner: A strictly causal network.
        head: Its output distribution.
        spec: What the model knows of its data.
        encoder: Turns raw features into context.

    Errors:
        ValueError: The conditioner gives another number of parameters than the head takes.

    Example:
        >>> from distill.distributions import MixtureOfGaussians
        >>> from distill.networks import MADE
        >>> made, head = MADE(3, [8], parameters_per_site=6), MixtureOfGaussians(components=2)
        >>> AutoregressiveDensity(made, head, DataSpec(sites=3)).sample(5, seed=0).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        conditioner: Conditioner,
        head: Head,
        spec: DataSpec,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if conditioner.parameters_per_site != head.parameters_per_site:
            raise ValueError(
                f"AutoregressiveDensity: {type(head).__name__} wants {head.parameters_per_site} "
                f"parameters per site, {type(conditioner).__name__} gives "
                f"{conditioner.parameters_per_site}. Build it with that parameters_per_site."
            )
        self.spec = spec
        self.encoder = encoder
        self.conditioner = conditioner
        self.head = head

    def parameters_of(self, x: Tensor, features: Features = None) -> Tensor:
        """Return the head's raw parameters `(B, T, P)`."""
        context = None if self.encoder is None else self.encoder(features)
        return self.conditioner(x, context)

    def log_prob(self, x: Tensor, features: Features = None) -> Tensor:
        """Score all sites in one parallel pass."""
        return self.head.log_prob(x, self.parameters_of(x, features))

    def log_prob_from_noisy_past(
        self, x: Tensor, noise: float, features: Features = None
    ) -> Tensor:
        r"""Score each site given a past that is off by the model's own noise.

        $$\log p(x_t \mid x_{<t} + a\,n_{<t}, c),\qquad n_t = (y_t - z_t) / \sqrt2,\quad
          y_t, z_t \sim p(\cdot \mid x_{<t}, c)$$

        Trained by it, a model learns to find its way back from its own errors, rather than to lean
        on the last few sites of a past that is always true: its free-running samples keep to the
        features. One more pass without a gradient.

        Arguments:
            x: `(B, T)`.
            noise: a: 1 is as loud as one step's own spread.
            features: Conditioning.

        Source: in the spirit of parallel scheduled sampling, Duckworth et al., 2019, arXiv
        1906.04331, and of the input noise of LPCNet, Valin and Skoglund, 2018, arXiv 1810.11846.
        """
        context = None if self.encoder is None else self.encoder(features)
        with torch.no_grad():
            raw = self.conditioner(x, context)
            draws = (self.head.noise(tuple(x.shape), None, x.device, x.dtype) for _ in range(2))
            y, z = (self.head.sample_from(raw, draw) for draw in draws)
            past = x + noise / math.sqrt(2) * (y - z)
        return self.head.log_prob(x, self.conditioner(past, context))

    def conditional(self, x: Tensor, features: Features = None) -> Conditional:
        """Return the distribution of each site given the sites of `x` before it."""
        return Conditional(self.head, self.parameters_of(x, features))

    @torch.no_grad()
    def sample(
        self,
        count: int,
        features: Features = None,
        *,
        sites: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw `(count, T)` site after site."""
        like = next(self.parameters())
        generator = generator_for(like.device, seed)
        shape = (count, self._sites(sites))
        noise = self.head.noise(shape, generator, like.device, like.dtype)
        context = None if self.encoder is None else self.encoder(features)
        return self.conditioner.generate(self.head, noise, context, temperature)
