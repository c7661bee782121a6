"""Monotone rational-quadratic splines."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from distill.bijectors.elementwise import Transform


class RationalQuadraticSpline(Transform):
    r"""A monotone spline of `bins` rational-quadratic pieces on [-limit, limit], identity outside.

    In a bin of width $w$, height $h$, slope $s = h/w$ and end derivatives $d_0, d_1$, with
    $\xi = (u - u_0)/w$:
    $$x = x_0 + h\,\frac{s\xi^2 + d_0\xi(1-\xi)}{s + (d_0 + d_1 - 2s)\xi(1-\xi)}.$$

    One layer can split a density into several modes, which an affine one can only bend. It is not
    affine in its site, so closed-form objectives refuse it.

    Arguments:
        bins: Number of pieces K; a site takes 3K - 1 parameters.
        limit: Half-width of the bent region, in units of the layer's input.
        floor: Smallest width and height, as a share of the region, and smallest derivative.

    Source: Durkan et al., Neural Spline Flows, 2019, arXiv 1906.04032.

    Example:
        >>> spline = RationalQuadraticSpline(bins=4)
        >>> u = torch.tensor([[-9.0, 0.5]])
        >>> x, log_det = spline(u, torch.zeros(1, 2, spline.parameters_per_site))
        >>> torch.allclose(x, u), log_det.abs().max().item() < 1e-6
        (True, True)
    """

    def __init__(self, bins: int = 8, limit: float = 4.0, floor: float = 1e-3) -> None:
        super().__init__()
        if bins < 2 or limit <= 0 or not 0 < floor < 1 / bins:
            raise ValueError(
                "RationalQuadraticSpline: wanted bins >= 2, limit > 0 and 0 < floor < 1 / bins, "
                f"got bins={bins}, limit={limit}, floor={floor}."
            )
        self.bins = bins
        self.limit = limit
        self.floor = floor
        self.parameters_per_site = 3 * bins - 1
        # A raw derivative of zero must give slope 1.
        self._slope_offset = math.log(math.expm1(1 - floor))

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"bins={self.bins}, limit={self.limit}"

    def forward(self, u: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate the spline."""
        inside, clipped, edges_u, edges_x, slopes = self._prepare(u, raw)
        u0, w, x0, h, d0, d1 = self._bin(clipped, edges_u, edges_x, slopes, by=edges_u)
        s = h / w
        xi = (clipped - u0) / w
        rest = xi * (1 - xi)
        denominator = s + (d0 + d1 - 2 * s) * rest
        x = x0 + h * (s * xi.square() + d0 * rest) / denominator
        log_det = self._log_slope(s, d0, d1, xi, rest, denominator)
        return torch.where(inside, x, u), torch.where(inside, log_det, torch.zeros_like(u))

    def inverse(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Solve the spline: one quadratic equation in the bin that holds `x`."""
        inside, clipped, edges_u, edges_x, slopes = self._prepare(x, raw)
        u0, w, x0, h, d0, d1 = self._bin(clipped, edges_u, edges_x, slopes, by=edges_x)
        s = h / w
        y = clipped - x0
        bend = y * (d0 + d1 - 2 * s)
        a = h * (s - d0) + bend
        b = h * d0 - bend
        c = -s * y
        # The root in [0, 1], in the form that has no cancellation.
        xi = 2 * c / (-b - (b.square() - 4 * a * c).clamp_min(0).sqrt())
        rest = xi * (1 - xi)
        denominator = s + (d0 + d1 - 2 * s) * rest
        log_det = self._log_slope(s, d0, d1, xi, rest, denominator)
        u = u0 + xi * w
        return torch.where(inside, u, x), torch.where(inside, -log_det, torch.zeros_like(x))

    def _prepare(
        self, value: Tensor, raw: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        k = self.bins
        inside = value.abs() < self.limit
        # Outside, an inner point is evaluated instead, so that no NaN reaches the gradient.
        clipped = torch.where(inside, value, torch.zeros_like(value))
        edges_u = self._edges(raw[..., :k])
        edges_x = self._edges(raw[..., k : 2 * k])
        inner = F.softplus(raw[..., 2 * k :] + self._slope_offset) + self.floor
        return inside, clipped, edges_u, edges_x, F.pad(inner, (1, 1), value=1.0)

    def _edges(self, raw: Tensor) -> Tensor:
        share = self.floor + (1 - self.floor * self.bins) * torch.softmax(raw, dim=-1)
        inner = 2 * self.limit * share.cumsum(-1)[..., :-1] - self.limit
        lower = F.pad(inner, (1, 0), value=-self.limit)
        return F.pad(lower, (0, 1), value=self.limit)

    @staticmethod
    def _bin(
        value: Tensor, edges_u: Tensor, edges_x: Tensor, slopes: Tensor, by: Tensor
    ) -> tuple[Tensor, ...]:
        index = (value[..., None] >= by[..., 1:-1]).sum(-1, keepdim=True)
        low = torch.stack([edges_u, edges_x, slopes], dim=-2)
        index = index[..., None, :].expand(*index.shape[:-1], 3, 1)
        u0, x0, d0 = low.gather(-1, index)[..., 0].unbind(-1)
        u1, x1, d1 = low.gather(-1, index + 1)[..., 0].unbind(-1)
        return u0, u1 - u0, x0, x1 - x0, d0, d1

    @staticmethod
    def _log_slope(
        s: Tensor, d0: Tensor, d1: Tensor, xi: Tensor, rest: Tensor, denominator: Tensor
    ) -> Tensor:
        numerator = d1 * xi.square() + 2 * s * rest + d0 * (1 - xi).square()
        return 2 * s.log() + numerator.log() - 2 * denominator.log()
