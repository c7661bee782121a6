"""What an explicit autoregressive density says of each site, given the sites before it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from distill.distributions.head import Head


@dataclass(frozen=True)
class Conditional:
    """A distribution of each site `(B, T)`, the parameters computed once and reused.

    Arguments:
        head: What kind of distribution.
        raw: Its parameters `(B, T, P)`.

    Example:
        >>> import torch
        >>> from distill.distributions import GaussianHead
        >>> conditional = Conditional(GaussianHead(), torch.zeros(2, 5, 2))
        >>> conditional.log_prob(torch.randn(8, 2, 5)).shape  # eight redraws of every site
        torch.Size([8, 2, 5])
    """

    head: Head
    raw: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density of values `(B, T)` or `(K, B, T)`."""
        return self.head.log_prob(x, self.raw)

    @property
    def loc(self) -> Tensor:
        """Location of each site, for heads with a single one."""
        return self.head.location_scale(self.raw)[0]

    @property
    def log_scale(self) -> Tensor:
        """Log-scale of each site, clipped as in the likelihood."""
        return self.head.location_scale(self.raw)[1]

    @property
    def unclipped_log_scale(self) -> Tensor:
        """Log-scale of each site before the clip."""
        return self.head.location_scale(self.raw)[2]
