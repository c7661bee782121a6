"""Output heads: a conditional distribution of each site from a conditioner's parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """Turns `parameters_per_site` numbers into a distribution of one site.

    `log_prob(x, raw)` takes `x` of any shape S and `raw` of shape `S + (parameters_per_site,)`, and
    returns shape S. `sample(raw, generator, temperature)` returns shape S.
    """

    parameters_per_site: int

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """Return the log-density of each site."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob.")

    def sample(
        self, raw: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw each site."""
        raise NotImplementedError(f"{type(self).__name__} does not define sample.")


class MixtureOfGaussians(Head):
    r"""A mixture of `components` Gaussians per site, $\log\sum_c \pi_c\,N(x;\mu_c,e^{s_c})$.

    Arguments:
        components: Number of Gaussians.
        min_log_scale: Lower bound of every log-scale, in nats.

    Source: as the base of a MAF, Papamakarios et al., 2017, arXiv 1705.07057 (MAF MoG).

    Example:
        >>> head = MixtureOfGaussians(components=2)
        >>> head.log_prob(torch.zeros(3), torch.zeros(3, 6)).shape
        torch.Size([3])
    """

    def __init__(self, components: int = 10, min_log_scale: float = -7.0) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"MixtureOfGaussians: wanted components >= 1, got {components}.")
        self.components = components
        self.min_log_scale = min_log_scale
        self.parameters_per_site = 3 * components
        # Equal means would get equal gradients, and never part.
        self.start = nn.Parameter(torch.linspace(-2, 2, components) if components > 1 else torch.zeros(1))

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """Return the log-density of each site."""
        logits, loc, log_scale = self._parts(raw)
        z = (x[..., None] - loc) * (-log_scale).exp()
        log_normal = -0.5 * z.square() - log_scale - 0.5 * math.log(2 * math.pi)
        return torch.logsumexp(torch.log_softmax(logits, -1) + log_normal, -1)

    def sample(
        self, raw: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw a component by the Gumbel trick, then from it; temperature scales the noise."""
        logits, loc, log_scale = self._parts(raw)
        uniform = torch.rand(logits.shape, generator=generator, device=raw.device, dtype=raw.dtype)
        gumbel = -torch.log(-torch.log(uniform.clamp_min(torch.finfo(raw.dtype).tiny)))
        pick = (logits + gumbel).argmax(-1, keepdim=True)
        noise = torch.randn(
            raw.shape[:-1], generator=generator, device=raw.device, dtype=raw.dtype
        )
        loc, log_scale = loc.gather(-1, pick)[..., 0], log_scale.gather(-1, pick)[..., 0]
        return loc + temperature * noise * log_scale.exp()

    def _parts(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, loc, log_scale = raw.chunk(3, -1)
        return logits, loc + self.start, log_scale.clamp_min(self.min_log_scale)
