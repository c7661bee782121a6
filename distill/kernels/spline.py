"""Rational-quadratic splines as compiled loops over sites, with derivatives in closed form.

The plain twin is `distill.bijectors.RationalQuadraticSpline.by_operations`. Numbers are of double
precision inside, whatever comes. Importing this file imports numba.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from distill.kernels.jit import SUMS, jit


class Shape(NamedTuple):
    """The settings of a spline; see `RationalQuadraticSpline`."""

    bins: int
    limit: float
    floor: float
    offset: float
    """Of raw derivatives, so that zero gives slope 1."""


@partial(jit, fastmath=SUMS)
def _size(share: float, shape: Shape) -> float:
    return 2 * shape.limit * (shape.floor + (1 - shape.floor * shape.bins) * share)


@partial(jit, fastmath=SUMS)
def _slope(raw: np.ndarray, knot: int, shape: Shape) -> float:
    """Return the derivative at a knot: softplus above a floor, and 1 at both ends, as outside."""
    inner = raw[2 * shape.bins + knot - 1] if 0 < knot < shape.bins else 0.0
    x = inner + shape.offset
    return max(x, 0.0) + math.log1p(math.exp(-abs(x))) + shape.floor


@partial(jit, fastmath=SUMS)
def _left(share: np.ndarray, bin_: int, shape: Shape) -> float:
    left = -shape.limit
    for k in range(bin_):
        left += _size(share[k], shape)
    return left


@partial(jit, fastmath=SUMS)
def _find(value: float, share: np.ndarray, shape: Shape) -> int:
    """Return the bin that holds a value."""
    left = -shape.limit
    for k in range(shape.bins - 1):
        left += _size(share[k], shape)
        if value < left:
            return k
    return shape.bins - 1


@partial(jit, fastmath=SUMS)
def _piece(
    v: float, raw: np.ndarray, inverse: bool, shape: Shape, shares: np.ndarray
) -> tuple[int, float, float, float, float, float, float, float]:
    """Return the bin that holds a value, its u0, w, x0, h, d0, d1, and the value's place in it."""
    k = _find(v, shares[1 if inverse else 0], shape)
    w, h = _size(shares[0, k], shape), _size(shares[1, k], shape)
    u0, x0 = _left(shares[0], k, shape), _left(shares[1], k, shape)
    d0, d1 = _slope(raw, k, shape), _slope(raw, k + 1, shape)
    if inverse:
        s, y = h / w, v - x0
        bend = y * (d0 + d1 - 2 * s)
        a, b, c = h * (s - d0) + bend, h * d0 - bend, -s * y
        # The root in [0, 1], in the form that has no cancellation.
        xi = 2 * c / (-b - math.sqrt(max(b * b - 4 * a * c, 0.0)))
    else:
        xi = (v - u0) / w
    return k, u0, w, x0, h, d0, d1, min(max(xi, 0.0), 1.0)


@partial(jit, fastmath=SUMS)
def evaluate(
    value: np.ndarray,
    raw: np.ndarray,
    shares: np.ndarray,
    inverse: bool,
    shape: Shape,
    result: np.ndarray,
    log_det: np.ndarray,
) -> None:
    """Map each value, or solve for it.

    Arguments:
        value: `(N,)`.
        raw: `(N, 3 * bins - 1)`: widths, heights, derivatives.
        shares: `(N, 2, bins)`: softmax of raw widths and heights, by torch: its loops of
            exponentials are vectorized.
        inverse: From data to noise.
        shape: The spline's settings.
        result: `(N,)`, written.
        log_det: `(N,)`, written: the log-derivative of this direction.
    """
    for n in range(len(value)):
        v = value[n]
        if not abs(v) < shape.limit:
            result[n], log_det[n] = v, 0.0
            continue
        _, u0, w, x0, h, d0, d1, xi = _piece(v, raw[n], inverse, shape, shares[n])
        s = h / w
        rest = xi * (1 - xi)
        below = s + (d0 + d1 - 2 * s) * rest
        inner = d1 * xi * xi + 2 * s * rest + d0 * (1 - xi) * (1 - xi)
        slope = inner * (s / below) * (s / below)
        if inverse:
            result[n], log_det[n] = u0 + xi * w, -math.log(slope)
        else:
            result[n] = x0 + h * (s * xi * xi + d0 * rest) / below
            log_det[n] = math.log(slope)


@partial(jit, fastmath=SUMS)
def differentiate(
    value: np.ndarray,
    raw: np.ndarray,
    shares: np.ndarray,
    inverse: bool,
    shape: Shape,
    to_result: np.ndarray,
    to_log_det: np.ndarray,
    to_value: np.ndarray,
    to_raw: np.ndarray,
) -> None:
    r"""Carry gradients of `evaluate` back.

    With $x = g(u; \theta)$ and $L = \log g'$, the inverse has $du = (dx - g_\theta d\theta) / g'$:
    its gradient is that of $g$ and $L$ at u, by other weights of the two.

    Arguments:
        value: `(N,)`.
        raw: `(N, 3 * bins - 1)`.
        shares: `(N, 2, bins)`.
        inverse: Which direction was evaluated.
        shape: The spline's settings.
        to_result: `(N,)`: the gradient of the result.
        to_log_det: `(N,)`: that of the log-derivative.
        to_value: `(N,)`, written.
        to_raw: `(N, 3 * bins - 1)`, written.
    """
    bins = shape.bins
    for n in range(len(value)):
        v, own = value[n], to_raw[n]
        own[:] = 0
        if not abs(v) < shape.limit:
            to_value[n] = to_result[n]
            continue
        k, _, w, _, h, d0, d1, xi = _piece(v, raw[n], inverse, shape, shares[n])
        s = h / w
        back, rest = 1 - xi, xi * (1 - xi)
        bend = d0 + d1 - 2 * s
        below = s + bend * rest
        above = s * xi * xi + d0 * rest
        inner = d1 * xi * xi + 2 * s * rest + d0 * back * back
        slope = inner * (s / below) * (s / below)
        inner_by_xi = 2 * (d1 * xi + s * (1 - 2 * xi) - d0 * back)
        log_slope_by_u = (inner_by_xi / inner - 2 * bend * (1 - 2 * xi) / below) / w
        if inverse:
            to_log = -to_log_det[n]
            to_value[n] = (to_result[n] + to_log * log_slope_by_u) / slope
            to_x = -to_value[n]
        else:
            to_log, to_x = to_log_det[n], to_result[n]
            to_value[n] = to_x * slope + to_log * log_slope_by_u
        # Backward through x = x0 + h above / below and L = log(inner s^2 / below^2).
        to_above, to_inner = to_x * h / below, to_log / inner
        to_below = -to_above * above / below - 2 * to_log / below
        to_s = 2 * to_log / s + 2 * rest * to_inner
        to_s += to_above * xi * xi + to_below * (1 - 2 * rest)
        to_d0 = to_inner * back * back + (to_above + to_below) * rest
        to_d1 = to_inner * xi * xi + to_below * rest
        to_u = to_x * slope + to_log * log_slope_by_u
        to_h = to_x * above / below + to_s / w
        to_w = -to_s * s / w - to_u * xi
        for axis in range(2):
            to_left, to_size = (-to_u, to_w) if axis == 0 else (to_x, to_h)
            share, mean = shares[n, axis], 0.0
            for j in range(k):
                mean += share[j] * to_left
            mean += share[k] * to_size
            scale = 2 * shape.limit * (1 - shape.floor * bins)
            for j in range(bins):
                each = to_left if j < k else (to_size if j == k else 0.0)
                own[axis * bins + j] = share[j] * scale * (each - mean)
        # softplus' = 1 - exp(-softplus)
        if k > 0:
            own[2 * bins + k - 1] += to_d0 * (1 - math.exp(shape.floor - d0))
        if k < bins - 1:
            own[2 * bins + k] += to_d1 * (1 - math.exp(shape.floor - d1))
