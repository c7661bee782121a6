"""The gradient of the gated layers of a WaveNet on a CPU; importing this file imports numba."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from distill.kernels.blas import multiply
from distill.kernels.gated_stack import Layers, gate_backward, pieces
from distill.kernels.jit import jit


class Gradients(NamedTuple):
    """Gradients, added to; those that nobody wants have no layers.

    Arguments:
        ends: `(B, N, C + S)`: of the last h, zero where only skips are read, which becomes that of
            the first h; beside it that of the sum of the skips.
        base: As in `Layers`.
        rows: As in `Layers`.
        project: As in `Layers`.
        bias: As in `Layers`.
        taps: As in `Layers`.
        out: As in `Layers`.
    """

    ends: np.ndarray
    base: np.ndarray
    rows: np.ndarray
    project: np.ndarray
    bias: np.ndarray
    taps: np.ndarray
    out: np.ndarray


@jit
def backward(
    h: np.ndarray,
    inputs: np.ndarray,
    kept: np.ndarray,
    net: Layers,
    to: Gradients,
    begin: int,
    end: int,
) -> None:
    """Carry the gradients of sequences begin to end back through all layers.

    Arguments:
        h: The input of the first layer.
        inputs: Those of the others, from `forward_kept`.
        kept: The factors of the gates, from `forward_kept`.
        net: The layers.
        to: The gradients.
        begin: First sequence.
        end: Last sequence, plus one.
    """
    sites, channels, gates = h.shape[1], h.shape[2], net.taps.shape[1] // 2
    count, each = pieces(sites)
    layers, kernel = net.taps.shape[0], net.shifts.shape[1]
    dz, g = np.empty((each, 2 * gates), h.dtype), np.empty((each, gates), h.dtype)
    for i in range(layers - 1, -1, -1):
        for b in range(begin, end):
            own = h[b] if i == 0 else inputs[i - 1, b]
            dbase = to.base[b if to.base.shape[0] > 1 else 0]
            for p in range(count):
                low, high = p * each, min(sites, (p + 1) * each)
                if low >= high:
                    continue
                n, ends = high - low, to.ends[b, low:high]
                multiply(ends, False, net.out[i], False, g[:n], False)
                gate_backward(kept[i, b, low:high], net.held, i, low, g[:n], dz[:n], dbase)
                if to.out.shape[0]:
                    multiply(ends, True, g[:n], False, to.out[i], True)
                if to.bias.shape[0]:
                    total = np.zeros(channels, h.dtype)
                    for r in range(n):
                        for c in range(channels):
                            total[c] += ends[r, c]
                    to.bias[i] += total
                # Earlier rows are done with, so that what taps add to them reaches no gate here.
                for k in range(kernel):
                    s = net.shifts[i, k]
                    first = max(low, s)
                    if first >= high:
                        continue
                    part, columns = dz[first - low : n], slice(k * channels, (k + 1) * channels)
                    if to.taps.shape[0]:
                        into = to.taps[i, :, columns]
                        multiply(part, True, own[first - s : high - s], False, into, True)
                    weights, into = (
                        net.taps[i, :, columns],
                        to.ends[b, first - s : high - s, :channels],
                    )
                    multiply(part, False, weights, False, into, True)
                if net.rows.shape[2]:
                    seen = net.rows[b, low:high]
                    if to.project.shape[0]:
                        multiply(dz[:n], True, seen, False, to.project[i], True)
                    if to.rows.shape[0]:
                        multiply(dz[:n], False, net.project[i], False, to.rows[b, low:high], True)
