"""The contract of a bijector."""

from __future__ import annotations

from torch import Tensor, nn


class Bijector(nn.Module):
    r"""An invertible map of sequences, noise to data, with its log-determinant per site.

    `forward(u, context)` gives `(x, log_det)` and `inverse(x, context)` gives `(u, log_det)` of the
    inverse. All four are `(B, T)`; the sum of `log_det` over sites is the true
    $\log\lvert\det\partial x/\partial u\rvert$. A layer that mixes sites spreads it evenly.

    Attributes:
        keeps_order: Site t of x depends on noise sites <= t only (a triangular Jacobian).
        is_affine: Given the noise before it, each site of x is affine in its own noise.
    """

    keeps_order: bool = False
    is_affine: bool = False

    def forward(self, u: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map noise `(B, T)` to data."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data `(B, T)` to noise."""
        raise NotImplementedError(f"{type(self).__name__} does not define inverse.")


def check_sites(owner: nn.Module, value: Tensor, sites: int) -> None:
    """Raise unless `value` is `(B, sites)`."""
    if value.dim() != 2 or value.shape[1] != sites:
        raise ValueError(
            f"{type(owner).__name__}: wanted values of shape (batch, {sites}), got "
            f"{tuple(value.shape)}. Build it with sites={value.shape[-1] if value.dim() else 1}, "
            "or pass values with the number of sites it was built for."
        )
