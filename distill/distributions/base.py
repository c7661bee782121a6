"""Fixed base distributions of a flow's noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Base(nn.Module):
    """Independent standardized noise at every site.

    Attributes:
        entropy: Entropy of one site, in nats.
    """

    entropy: float

    def log_prob(self, u: Tensor) -> Tensor:
        """Return the log-density of each site, same shape as `u`."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob.")

    def sample(
        self,
        shape: Sequence[int],
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw noise of a shape `(B, T)`; a generator makes it reproducible."""
        raise NotImplementedError(f"{type(self).__name__} does not define sample.")


class Normal(Base):
    r"""The standard normal, $-\tfrac12 u^2 - \tfrac12\log 2\pi$.

    Example:
        >>> round(Normal().log_prob(torch.zeros(1)).item(), 4)
        -0.9189
    """

    entropy = 0.5 * math.log(2 * math.pi * math.e)

    def log_prob(self, u: Tensor) -> Tensor:
        """Return the log-density of each site."""
        return -0.5 * u.square() - 0.5 * math.log(2 * math.pi)

    def sample(
        self,
        shape: Sequence[int],
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw standard normal noise."""
        return torch.randn(tuple(shape), generator=generator, device=device, dtype=dtype)


class Logistic(Base):
    r"""The standard logistic, $-u - 2\,\mathrm{softplus}(-u)$; its entropy is 2 nats.

    Example:
        >>> round(Logistic().log_prob(torch.zeros(1)).item(), 4)
        -1.3863
    """

    entropy = 2.0

    def log_prob(self, u: Tensor) -> Tensor:
        """Return the log-density of each site."""
        return -u.abs() - 2 * F.softplus(-u.abs())

    def sample(
        self,
        shape: Sequence[int],
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw standard logistic noise by its inverse distribution function."""
        p = torch.rand(tuple(shape), generator=generator, device=device, dtype=dtype)
        tiny = torch.finfo(p.dtype).eps
        return torch.logit(p.clamp(tiny / 2, 1 - tiny))
