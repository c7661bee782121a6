"""The contract of output heads: a conditional distribution of each site from raw parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SamplingSpec:
    """How a head turns parameters into a sample, as plain numbers for the compiled samplers.

    Arguments:
        kind: `location_scale` (loc, log-scale), `mixture` (logits, locs, log-scales), or `table`
            (logits of the values in `table`).
        offset: `(P,)`, added to the raw parameters first.
        min_log_scale: Lower bound of the log-scales.
        limit: Samples are clamped to plus or minus this.
        table: Values of the classes.
    """

    kind: str
    offset: Tensor
    min_log_scale: float = 0.0
    limit: float = float("inf")
    table: Tensor | None = None


class Head(nn.Module):
    """Turns `parameters_per_site` numbers into a distribution of one site.

    `log_prob(x, raw)` takes `raw` of shape `S + (parameters_per_site,)` and `x` of shape S, or one
    that broadcasts with it (`(K,) + S` for K redraws), and returns the shape of both together.

    Randomness comes from outside: `noise` draws `S + (noise_per_site,)` standard variates, and
    `sample_from` is a deterministic function of them, the same in every implementation.

    Attributes:
        parameters_per_site: P.
        noise_per_site: N.
        locations: Which of the P move a site as they move.
        differentiable: Whether `log_prob` has a gradient in x, as distilling from it needs.
        sees_levels: Whether it sees the levels of a quantizer of [-1, 1], whatever the data's
            scale; other heads work near unit scale, and their model carries that to data.
    """

    parameters_per_site: int
    noise_per_site: int = 1
    locations: tuple[int, ...] = ()
    differentiable: bool = True
    sees_levels: bool = False

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """Return the log-density of each site, in nats."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob.")

    def noise(
        self,
        shape: Sequence[int],
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw the noise of sites of a shape S: `S + (noise_per_site,)`."""
        raise NotImplementedError(f"{type(self).__name__} does not define noise.")

    def sample_from(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Turn noise into samples of shape S; temperature scales the noise."""
        raise NotImplementedError(f"{type(self).__name__} does not define sample_from.")

    def sample(
        self, raw: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw each site."""
        noise = self.noise(raw.shape[:-1], generator, raw.device, raw.dtype)
        return self.sample_from(raw, noise, temperature)

    def location_scale(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return location, log-scale and log-scale before its clip, where there is one of each."""
        raise ValueError(
            f"{type(self).__name__} has no single location and scale. Use a GaussianHead or a "
            "LogisticHead, or an objective that needs only log_prob (kl with method=log_ratio)."
        )

    def start_at(self, scale: float) -> None:
        """Let a head of levels start at data of this standard deviation."""

    def bounded(self, min_log_scale: float) -> Head:
        """Return the head with no log-scale below this, in units of the data's scale.

        It is the same module where that changes nothing, and else one of the same parameters.
        """
        return self

    def sampling_spec(self) -> SamplingSpec | None:
        """Return how to sample in a compiled loop, `None` where only `sample_from` can."""
        return None
