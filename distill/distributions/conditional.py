"""What an explicit autoregressive density says of each site, given the sites before it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from distill.distributions.head import Head


@dataclass(frozen=True)
class Units:
    """Location and scale of the data, one number a site or one for all, `(T,)` or `(1,)`."""

    loc: Tensor
    scale: Tensor


@dataclass(frozen=True)
class Conditional:
    """A distribution of each site `(B, T)`, the parameters computed once and reused.

    Arguments:
        head: What kind of distribution.
        raw: Its parameters `(B, T, P)`.
        units: Of the values, where the head sees them standardized.

    Example:
        >>> import torch
        >>> from distill.distributions import GaussianHead
        >>> conditional = Conditional(GaussianHead(), torch.zeros(2, 5, 2))
        >>> conditional.log_prob(torch.randn(8, 2, 5)).shape  # eight redraws of every site
        torch.Size([8, 2, 5])
    """

    head: Head
    raw: Tensor
    units: Units | None = None

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log-density of values `(B, T)` or `(K, B, T)`."""
        if self.units is None:
            return self.head.log_prob(x, self.raw)
        z = (x - self.units.loc) / self.units.scale
        return self.head.log_prob(z, self.raw) - self.units.scale.log()

    @property
    def loc(self) -> Tensor:
        """Location of each site, for heads with a single one."""
        loc = self.head.location_scale(self.raw)[0]
        return loc if self.units is None else self.units.loc + self.units.scale * loc

    @property
    def log_scale(self) -> Tensor:
        """Log-scale of each site, clipped as in the likelihood."""
        return self.in_units(self.head.location_scale(self.raw)[1])

    @property
    def unclipped_log_scale(self) -> Tensor:
        """Log-scale of each site before the clip."""
        return self.in_units(self.head.location_scale(self.raw)[2])

    def in_units(self, log_scale: Tensor) -> Tensor:
        """Take a log-scale from the head's units to those of the values."""
        return log_scale if self.units is None else log_scale + self.units.scale.log()
