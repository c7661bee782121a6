"""From mels and excitation to samples, by each frame's predictor, as one compiled function.

The plain twins are `Envelope` and `LinearPrediction.run`. Importing this file imports numba.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from distill.kernels.blas import multiply
from distill.kernels.jit import SUMS, jit
from distill.kernels.levinson import solve
from distill.kernels.linear_prediction import filter_forward, mark_unstable


class Filter(NamedTuple):
    """What an `Envelope` computes with, in float64.

    Arguments:
        weight: `(bands, knots)`.
        bias: `(knots,)`.
        lowest: Bound of the log-power.
        highest: Likewise.
        interpolation: `(knots, bins)`.
        cosines: `(bins, p + 1)`.
        floor: `(p + 1,)`.
    """

    weight: np.ndarray
    bias: np.ndarray
    lowest: float
    highest: float
    interpolation: np.ndarray
    cosines: np.ndarray
    floor: np.ndarray


@partial(jit, fastmath=SUMS)
def color(
    net: Filter, mel: np.ndarray, e: np.ndarray, past: np.ndarray, log_prob: np.ndarray
) -> tuple[np.ndarray, bool]:
    """Return the samples of a chunk, and whether every frame's filter is stable.

    Arguments:
        net: The envelope.
        mel: `(F, bands)`.
        e: Excitation, `(F hop,)`.
        past: The last p samples, float64, oldest first; replaced by the next chunk's.
        log_prob: `(F hop,)`: that of e, which becomes that of the samples.
    """
    frames, order = mel.shape[0], len(past)
    hop = len(e) // frames
    knots = np.empty((frames, len(net.bias)))
    knots[:] = net.bias
    multiply(mel.astype(np.float64), False, net.weight, False, knots, True)
    for f in range(frames):
        for k in range(knots.shape[1]):
            knots[f, k] = min(max(knots[f, k], net.lowest), net.highest)
    power = np.empty((frames, net.interpolation.shape[1]))
    multiply(knots, False, net.interpolation, False, power, False)
    for f in range(frames):
        for k in range(power.shape[1]):
            power[f, k] = math.exp(power[f, k])
    r = np.empty((frames, order + 1))
    r[:] = net.floor
    multiply(power, False, net.cosines, False, r, True)
    a, error = np.zeros((frames, order)), np.empty(frames)
    solve(r, a, error)
    row = np.empty(order + len(e))
    row[:order] = past
    for f in range(frames):
        gain = math.sqrt(error[f])
        log_gain = np.float32(math.log(gain))
        for i in range(f * hop, (f + 1) * hop):
            row[order + i] = gain * e[i]
            log_prob[i] -= log_gain
    filter_forward(row, np.ascontiguousarray(a[:, ::-1]), hop)
    past[:] = row[len(e) :]
    unstable = np.zeros(frames, np.bool_)
    mark_unstable(a, unstable)
    return row[order:].astype(np.float32), not unstable.any()
