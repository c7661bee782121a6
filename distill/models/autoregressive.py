"""An explicit autoregressive density: a causal network and an output head."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from distill import rows
from distill.bijectors import Bijector, Jacobi, Standardize
from distill.bijectors.fixed_point import solve
from distill.contract import Context, DataSpec, Features
from distill.distributions import Conditional, Head, Units
from distill.models.density import Density, core_of
from distill.models.in_rounds import Rounds
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
        outer: Carries the density's values e to data, or `None`.
        units: Carries the values z that network and head work with, of unit scale, to e; `None`
            where they are the same.

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
        outer: Bijector | None = None,
        units: Standardize | None = None,
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
        self.outer = outer
        self.units = units

    @property
    def core(self) -> AutoregressiveDensity:
        """The density of e, of the same modules."""
        if self.outer is None:
            return self
        return core_of(self, self._with(self.head, None))

    def bounded(self, min_log_scale: float) -> AutoregressiveDensity:
        """Return the density whose head has no log-scale below this, of the same parameters."""
        head = self.head.bounded(min_log_scale)
        if head is self.head:
            return self
        density = self._with(head, self.outer)
        density.training = self.training
        return density

    def _with(self, head: Head, outer: Bijector | None) -> AutoregressiveDensity:
        return AutoregressiveDensity(
            self.conditioner, head, self.spec, self.encoder, outer, self.units
        )

    def _to_units(self, e: Tensor) -> tuple[Tensor, Tensor]:
        return (e, torch.zeros_like(e)) if self.units is None else self.units.inverse(e)

    def _from_units(self, z: Tensor) -> Tensor:
        return z if self.units is None else self.units(z)[0]

    def log_prob(self, x: Tensor, features: Features | Context = None) -> Tensor:
        """Score all sites in one parallel pass."""
        context = self.context(features)
        e, log_det = self.inward(self.values(x), context)
        z, more = self._to_units(e)
        return self.head.log_prob(z, self.conditioner(z, context)) + log_det + more

    def log_prob_from_noisy_past(
        self, x: Tensor, noise: float, features: Features | Context = None
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
        context = self.context(features)
        e, log_det = self.inward(self.values(x), context)
        z, more = self._to_units(e)
        with torch.no_grad():
            raw = self.conditioner(z, context)
            noise_of = partial(self.head.noise, device=z.device, dtype=z.dtype)
            draws = (rows.drawn(noise_of, tuple(z.shape), z.device) for _ in range(2))
            one, other = (self.head.sample_from(raw, draw) for draw in draws)
            past = z + noise / math.sqrt(2) * (one - other)
        return self.head.log_prob(z, self.conditioner(past, context)) + log_det + more

    def conditional(self, x: Tensor, features: Features | Context = None) -> Conditional:
        """Return the distribution of each site given the sites of `x` before it.

        Errors:
            ValueError: It is that of the core which has one.
        """
        if self.outer is not None:
            raise ValueError(
                f"{type(self).__name__}.conditional: the head speaks of values before the outer "
                f"{type(self.outer).__name__}. Ask `model.core`, with `model.inward(x, context)`."
            )
        z, _ = self._to_units(self.values(x))
        units = None if self.units is None else Units(self.units.loc, self.units.scale)
        return Conditional(self.head, self.conditioner(z, self.context(features)), units)

    @torch.no_grad()
    def sample(
        self,
        count: int,
        features: Features | Context = None,
        *,
        sites: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
        jacobi: Jacobi | None = None,
    ) -> Tensor:
        """Draw `(count, T)` site after site, or by rounds."""
        if jacobi is not None:
            return self.sample_in_rounds(
                count, features, sites=sites, seed=seed, temperature=temperature, jacobi=jacobi
            ).checked()
        self._check_draw(count, temperature)
        context = self.context(features)
        noise = self._noise(count, self._sites(sites, features), seed)
        z = self.conditioner.generate(self.head, noise, context, temperature)
        return self.outward(self._from_units(z), context)

    @torch.no_grad()
    def sample_in_rounds(
        self,
        count: int,
        features: Features | Context = None,
        *,
        sites: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
        jacobi: Jacobi,
    ) -> Rounds:
        """Draw `(count, T)` by rounds of all sites at once, starting at zeros."""
        self._check_draw(count, temperature)
        context = self.context(features)
        noise = self._noise(count, self._sites(sites, features), seed)

        def update(raw: Tensor, index: slice | Tensor) -> Tensor:
            return self.head.sample_from(raw, noise[:, index], temperature)

        start = torch.zeros_like(noise[..., 0])
        solution = solve(self.conditioner.sweep(update, start, context), start, jacobi)
        return Rounds(self.outward(self._from_units(solution.x), context), (solution,))

    def _noise(self, count: int, sites: int, seed: int | None) -> Tensor:
        like = next(self.parameters())
        noise_of = partial(self.head.noise, device=like.device, dtype=like.dtype)
        shape, generator = (count, sites), generator_for(like.device, seed)
        if generator is None:
            return rows.drawn(noise_of, shape, like.device)
        return noise_of(shape, generator=generator)
