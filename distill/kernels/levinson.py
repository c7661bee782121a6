"""Levinson's recursion as a compiled loop; importing this file imports numba."""

from __future__ import annotations

from functools import partial

import numpy as np

from distill.kernels.jit import SUMS, jit


@partial(jit, fastmath=SUMS)
def solve(r: np.ndarray, a: np.ndarray, error: np.ndarray) -> None:
    """Solve the normal equations of each autocorrelation.

    The plain twin is `distill.networks.levinson.levinson_by_steps`.

    Arguments:
        r: `(N, p + 1)`.
        a: `(N, p)`, written.
        error: `(N,)`, written.
    """
    count, order = a.shape
    for n in range(count):
        own, taps, left = r[n], a[n], r[n, 0]
        for i in range(order):
            rest = own[i + 1]
            for j in range(i):
                rest -= taps[j] * own[i - j]
            k = rest / left
            for j in range((i + 1) // 2):
                low, high = taps[j], taps[i - 1 - j]
                taps[j] = low - k * high
                taps[i - 1 - j] = high - k * low
            taps[i] = k
            left *= 1 - k * k
        error[n] = left
