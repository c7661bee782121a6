"""Monotone rational-quadratic splines."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.bijectors.elementwise import Transform, like
from distill.checks import check_number
from distill.functional import at_least_single
from distill.kernels.choice import may_compile


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
        name = type(self).__name__
        check_number(f"{name}: bins", bins, low=2, whole=True)
        check_number(f"{name}: limit", limit, above=0)
        check_number(f"{name}: floor", floor, above=0, below=1 / bins)
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
        return self._run(u, at_least_single(raw), inverse=False)

    def inverse(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Solve the spline: one quadratic equation in the bin that holds `x`."""
        return self._run(x, at_least_single(raw), inverse=True)

    def by_operations(self, value: Tensor, raw: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        """Compute either direction by plain operations: the twin of the compiled loop.

        Arguments:
            value: Noise, or data for the inverse, of shape `S`.
            raw: `S + (3 * bins - 1,)`.
            inverse: From data to noise.
        """
        return (self._solve if inverse else self._evaluate)(value, raw)

    def _run(self, value: Tensor, raw: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        if not may_compile(value, raw):
            return self.by_operations(value, raw, inverse)
        wanted = (*value.shape, self.parameters_per_site)
        if raw.shape != wanted:  # a loop would read past the end
            raise ValueError(
                f"{type(self).__name__}: for values {tuple(value.shape)} wanted raw parameters "
                f"{wanted}, got {tuple(raw.shape)}. Expand them, or build the network with "
                f"parameters_per_site={self.parameters_per_site}."
            )
        from distill.bijectors.spline_fast import CompiledSpline, Shape

        shape = Shape(self.bins, self.limit, self.floor, self._slope_offset)
        return CompiledSpline.apply(value, raw, inverse, shape, self.by_operations)

    def _evaluate(self, u: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        inside, clipped, u0, w, x0, h, d0, d1 = self._find_bin(u, raw, side=0)
        # Rounding may leave the bin, where the slope's logarithm has no value.
        s, xi = h / w, ((clipped - u0) / w).clamp(0, 1)
        rest = xi * (1 - xi)
        denominator = s + (d0 + d1 - 2 * s) * rest
        x = x0 + h * (s * xi.square() + d0 * rest) / denominator
        log_det = _log_slope(s, d0, d1, xi, rest, denominator)
        return torch.where(inside, like(x, u), u), torch.where(inside, log_det, 0.0)

    def _solve(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        inside, clipped, u0, w, x0, h, d0, d1 = self._find_bin(x, raw, side=1)
        s, y = h / w, clipped - x0
        bend = y * (d0 + d1 - 2 * s)
        a, b, c = h * (s - d0) + bend, h * d0 - bend, -s * y
        # The root in [0, 1], in the form that has no cancellation.
        xi = (2 * c / (-b - (b.square() - 4 * a * c).clamp_min(0).sqrt())).clamp(0, 1)
        rest = xi * (1 - xi)
        denominator = s + (d0 + d1 - 2 * s) * rest
        log_det = _log_slope(s, d0, d1, xi, rest, denominator)
        return torch.where(inside, like(u0 + xi * w, x), x), torch.where(inside, -log_det, 0.0)

    def _find_bin(self, value: Tensor, raw: Tensor, side: int) -> tuple[Tensor, ...]:
        """Return each value's bin; `side` says whether values lie on the noise or the data axis."""
        k = self.bins
        inside = value.abs() < self.limit
        # Outside, an inner point is evaluated instead, so that no NaN reaches the gradient.
        clipped = torch.where(inside, value, 0.0)
        # Widths and heights are treated as one: small tensors pay for calls, not for numbers.
        share = torch.softmax(raw[..., : 2 * k].unflatten(-1, (2, k)), -1)
        size = 2 * self.limit * (self.floor + (1 - self.floor * k) * share)
        left = F.pad(size.cumsum(-1)[..., :-1], (1, 0)) - self.limit
        index = (clipped[..., None] >= left[..., side, 1:]).sum(-1, keepdim=True)
        both = index[..., None, :].expand(*index.shape[:-1], 2, 1)
        w, h = size.gather(-1, both)[..., 0].unbind(-1)
        u0, x0 = left.gather(-1, both)[..., 0].unbind(-1)
        # At both ends the slope is 1, as outside.
        inner = F.pad(raw[..., 2 * k :], (1, 1))
        ends = inner.gather(-1, torch.cat([index, index + 1], -1))
        d0, d1 = (F.softplus(ends + self._slope_offset) + self.floor).unbind(-1)
        return inside, clipped, u0, w, x0, h, d0, d1


def _log_slope(
    s: Tensor, d0: Tensor, d1: Tensor, xi: Tensor, rest: Tensor, denominator: Tensor
) -> Tensor:
    numerator = d1 * xi.square() + 2 * s * rest + d0 * (1 - xi).square()
    return (numerator * (s / denominator).square()).log()
