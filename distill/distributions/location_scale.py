"""Output heads with one location and one scale: Gaussian and logistic."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from distill.checks import check_number
from distill.distributions.base import Base, Logistic, Normal
from distill.distributions.head import Head, SamplingSpec


class LocationScaleHead(Head):
    r"""A base distribution, scaled and moved: $\log p(x) = \log p_0((x-m)e^{-s}) - s$.

    Raw parameters are m and r, with $s = \max(r + s_0, s_{min})$.

    Arguments:
        base: The standard distribution p_0.
        min_log_scale: s_min.
        log_scale: s_0, the log-scale at raw parameters of zero.
    """

    parameters_per_site = 2
    locations = (0,)

    def __init__(self, base: Base, min_log_scale: float, log_scale: float = 0.0) -> None:
        super().__init__()
        check_number(f"{type(self).__name__}: min_log_scale", min_log_scale)
        check_number(f"{type(self).__name__}: log_scale", log_scale)
        self.base = base
        self.min_log_scale = min_log_scale
        self.log_scale = log_scale

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"min_log_scale={self.min_log_scale}, log_scale={self.log_scale}"

    def location_scale(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return location, log-scale, and log-scale before its clip."""
        loc, log_scale = raw.unbind(-1)
        log_scale = log_scale + self.log_scale
        return loc, log_scale.clamp_min(self.min_log_scale), log_scale

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """Return the log-density of each site, in nats."""
        loc, log_scale, _ = self.location_scale(raw)
        return self.base.log_prob((x - loc) * (-log_scale).exp()) - log_scale

    def noise(
        self,
        shape: Sequence[int],
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw standard noise of the base."""
        return self.base.sample((*shape, 1), generator, device, dtype)

    def sample_from(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Scale and move the noise."""
        loc, log_scale, _ = self.location_scale(raw)
        return loc + temperature * noise[..., 0] * log_scale.exp()

    def bounded(self, min_log_scale: float) -> LocationScaleHead:
        """Return the head with no log-scale below this."""
        if min_log_scale <= self.min_log_scale:
            return self
        head = copy.copy(self)
        head.min_log_scale = min_log_scale
        return head

    def sampling_spec(self) -> SamplingSpec:
        """Return how to sample in a compiled loop."""
        return SamplingSpec(
            "location_scale", torch.tensor([0.0, self.log_scale]), self.min_log_scale
        )


class GaussianHead(LocationScaleHead):
    r"""One Gaussian per site, $N(x; m, e^{2s})$.

    Arguments:
        min_log_scale: Lower bound of the log-scale, in units of the data's scale.
        log_scale: Log-scale at raw parameters of zero.

    Source: Ping et al., ClariNet, 2018, arXiv 1807.07281.

    Example:
        >>> round(GaussianHead().log_prob(torch.zeros(1), torch.zeros(1, 2)).item(), 4)
        -0.9189
    """

    def __init__(self, min_log_scale: float = -9.0, log_scale: float = 0.0) -> None:
        super().__init__(Normal(), min_log_scale, log_scale)


class LogisticHead(LocationScaleHead):
    r"""One logistic per site, $-z - 2\,\mathrm{softplus}(-z) - s$ with $z = (x-m)e^{-s}$.

    Arguments:
        min_log_scale: Lower bound of the log-scale.
        log_scale: Log-scale at raw parameters of zero.

    Example:
        >>> round(LogisticHead().log_prob(torch.zeros(1), torch.zeros(1, 2)).item(), 4)
        -1.3863
    """

    def __init__(self, min_log_scale: float = -7.0, log_scale: float = 0.0) -> None:
        super().__init__(Logistic(), min_log_scale, log_scale)
