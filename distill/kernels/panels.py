"""Products with weights in panels: the columns that a tile needs lie side by side.

Rows of a wide matrix are so far apart that they push each other out of a cache's few ways. In
panels, what a tile reads runs on. Importing this file imports numba.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from distill.kernels.jit import jit
from distill.kernels.tiles import WIDTH, strip

PANEL = 2 * WIDTH


def fits(*columns: int) -> bool:
    """Return whether numbers of columns make whole panels."""
    return all(count % PANEL == 0 for count in columns)


def panels(weights: Tensor) -> Tensor:
    """Lay `(L, k, n)` as `(L, n / PANEL, k, PANEL)`; of no panels where it does not fit.

    Example:
        >>> panels(torch.zeros(2, 5, 4 * PANEL)).shape == (2, 4, 5, PANEL)
        True
    """
    layers, inputs, columns = weights.shape
    if weights.dtype != torch.float32 or not fits(columns):
        return weights.new_empty(layers, 0, inputs, PANEL)
    return weights.unflatten(2, (-1, PANEL)).transpose(1, 2).contiguous()


@jit
def times_panels(a: np.ndarray, b: np.ndarray, c: np.ndarray, add: bool) -> None:
    """Write a product into c, or add it.

    Arguments:
        a: `(m, k)`, rows contiguous.
        b: `(n / PANEL, k, PANEL)`.
        c: `(m, n)`, rows contiguous.
        add: Whether to add.
    """
    lda, ldc = a.strides[0] // 4, c.strides[0] // 4
    pa, pc = a.ctypes.data, c.ctypes.data
    for j in range(b.shape[0]):
        own = b[j].ctypes.data
        strip(pa, lda, own, PANEL, pc + 4 * PANEL * j, ldc, a.shape[0], a.shape[1], add)


@jit
def taps_times_panels(
    h: np.ndarray, shifts: np.ndarray, rows: np.ndarray, low: int, b: np.ndarray, c: np.ndarray
) -> None:
    """Write the sum of the products of all taps, and of a context, into c.

    Arguments:
        h: `(N, C)`.
        shifts: `(k,)`: how far back each tap lies, `low` at most.
        rows: `(N, D)`: the context, of no columns where there is none.
        low: Row of h that row 0 of c is.
        b: `(n / PANEL, k C + D, PANEL)`.
        c: `(m, n)`, rows contiguous.
    """
    lda, ldc, channels, own = h.strides[0] // 4, c.strides[0] // 4, h.shape[1], rows.shape[1]
    count, pc = c.shape[0], c.ctypes.data
    for j in range(b.shape[0]):
        to, k = pc + 4 * PANEL * j, 0
        for s in shifts:
            seen, weights = h[low - s :].ctypes.data, b[j, k * channels :].ctypes.data
            strip(seen, lda, weights, PANEL, to, ldc, count, channels, k > 0)
            k += 1
        if own:
            seen, weights = rows[low:].ctypes.data, b[j, k * channels :].ctypes.data
            strip(seen, rows.strides[0] // 4, weights, PANEL, to, ldc, count, own, True)
