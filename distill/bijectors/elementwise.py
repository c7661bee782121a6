"""Transforms of one site, driven by parameters that a conditioner computed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distill.checks import check_number
from distill.functional import at_least_single


class Transform(nn.Module):
    """An invertible map of each site by itself, with `parameters` numbers per site.

    `forward(u, raw)` and `inverse(x, raw)` take values of any shape `S` and raw parameters of shape
    `S + (parameters,)`, and return the mapped values and the log-derivative, both of shape `S`.
    Raw parameters of zero give (nearly) the identity, so that a flow can start there.

    Attributes:
        parameters_per_site: P.
        locations: Which of the P move a site as they move.
        is_affine: Whether the map is affine.
    """

    parameters_per_site: int = 0
    locations: tuple[int, ...] = ()
    is_affine: bool = False

    def forward(self, u: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Map noise to data."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def inverse(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Map data to noise."""
        raise NotImplementedError(f"{type(self).__name__} does not define inverse.")


class Affine(Transform):
    r"""Scale and shift: $x = u\,e^{s} + m$, with $s$ softly bounded.

    $s = s_0 + b\tanh(r/b)$ for a raw parameter $r$ and a bound $b$. Bounded scales keep the tails
    of a teacher tame: distilling from one with $b = 6.9$ starts at a KL of 1e8 nats.

    Arguments:
        bound: Largest deviation of the log-scale from its start, in nats; `None` for no bound.
        log_scale: Log-scale at raw parameters of zero.

    Example:
        >>> affine = Affine()
        >>> x, log_det = affine(torch.ones(1, 3), torch.zeros(1, 3, 2))
        >>> x.tolist(), log_det.tolist()
        ([[1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0]])
    """

    parameters_per_site = 2
    locations = (0,)
    is_affine = True

    def __init__(self, bound: float | None = 2.0, log_scale: float = 0.0) -> None:
        super().__init__()
        if bound is not None:
            check_number("Affine: bound", bound, above=0, remedy="None is no bound.")
        check_number("Affine: log_scale", log_scale)
        self.bound = bound
        self.log_scale = log_scale

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"bound={self.bound}, log_scale={self.log_scale}"

    def loc_and_log_scale(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Split raw parameters into location and log-scale."""
        loc, raw_scale = at_least_single(raw).unbind(-1)
        if self.bound is not None:
            raw_scale = self.bound * torch.tanh(raw_scale / self.bound)
        return loc, raw_scale + self.log_scale

    def forward(self, u: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Return `u * exp(log_scale) + loc` and the log-scale."""
        loc, log_scale = self.loc_and_log_scale(raw)
        return like(torch.addcmul(loc, u, log_scale.exp()), u), log_scale

    def inverse(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Return `(x - loc) * exp(-log_scale)` and minus the log-scale."""
        loc, log_scale = self.loc_and_log_scale(raw)
        return like((x - loc) * (-log_scale).exp(), x), -log_scale


class Shift(Transform):
    """Shift only, `x = u + m`, with a log-determinant of zero (NICE, 2014, arXiv 1410.8516)."""

    parameters_per_site = 1
    locations = (0,)
    is_affine = True

    def forward(self, u: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Return `u + raw` and zeros."""
        return u + raw[..., 0], torch.zeros_like(u)

    def inverse(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Return `x - raw` and zeros."""
        return x - raw[..., 0], torch.zeros_like(x)


def like(value: Tensor, given: Tensor) -> Tensor:
    """Return a value in the precision of what it was made from, where that is half of float32's."""
    return value.to(given.dtype) if given.dtype in (torch.bfloat16, torch.float16) else value
