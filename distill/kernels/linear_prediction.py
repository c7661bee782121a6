"""The time-varying all-pole filter and its transpose as compiled loops over sites.

Past and result lie in one row, and taps run from the oldest site to the newest, so that a site is
one dot product of neighbors. The plain twin is `distill.bijectors.all_pole.filter_by_sites`.
Importing this file imports numba.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from distill.kernels.jit import SUMS, jit


@partial(jit, fastmath=SUMS)
def filter_forward(row: np.ndarray, taps: np.ndarray, hop: int) -> None:
    r"""Turn scaled excitation into signal in place: $x_t = d_t + \sum_k a_k x_{t-k}$.

    Arguments:
        row: `(p + F * hop,)`: the last p sites, then d, which becomes x.
        taps: `(F, p)`: $a_p, \dots, a_1$ of each frame, contiguous.
        hop: Sites per frame.
    """
    frames, order = taps.shape
    for f in range(frames):
        a = taps[f]
        for t in range(f * hop, (f + 1) * hop):
            total = 0.0
            for j in range(order):
                total += a[j] * row[t + j]
            row[t + order] += total


@partial(jit, fastmath=SUMS)
def filter_backward(row: np.ndarray, taps: np.ndarray, hop: int) -> None:
    """Apply the transpose of `filter_forward` in place, from the last site to the first.

    Arguments:
        row: `(p + F * hop,)`: cotangents of the whole row, which become those of past and d.
        taps: `(F, p)`, as above.
        hop: Sites per frame.
    """
    frames, order = taps.shape
    for f in range(frames - 1, -1, -1):
        a = taps[f]
        for t in range((f + 1) * hop - 1, f * hop - 1, -1):
            w = row[t + order]
            for j in range(order):
                row[t + j] += a[j] * w


@partial(jit, fastmath=SUMS)
def mark_unstable(filters: np.ndarray, unstable: np.ndarray) -> None:
    r"""Mark filters with a reflection coefficient outside (-1, 1), by stepping Levinson down.

    The plain twin is `distill.kernels.synthesis.unstable_by_steps`.

    Arguments:
        filters: `(N, p)`: $a_1, \dots, a_p$ of each, contiguous; they are overwritten.
        unstable: `(N,)`, set to True where a filter is not stable or not finite.
    """
    count, order = filters.shape
    for n in range(count):
        a = filters[n]
        for last in range(order - 1, -1, -1):
            k = a[last]
            if not abs(k) < 1:
                unstable[n] = True
                break
            scale = 1 / (1 - k * k)
            for j in range((last + 1) // 2):
                low, high = a[j], a[last - 1 - j]
                a[j] = (low + k * high) * scale
                a[last - 1 - j] = (high + k * low) * scale
