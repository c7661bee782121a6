r"""The gated layers of a WaveNet on a CPU, forward and backward, in pieces that stay in cache.

$$h_{i+1} = h_i + V_i g_i,\qquad g_i = \tanh(z_i^a / 2)\,\sigma(z_i^b)$$

A layer is done for some hundred rows at a time: one product a tap, without copies of taps, then the
gate in one pass, then the products behind it. The plain twin is
`distill.networks.gated_stack.stack_by_operations`. Importing this file imports numba.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from distill.kernels.jit import jit
from distill.kernels.panels import PANEL, taps_times_panels, times_panels
from distill.kernels.tiles import times

ROWS = 252  # of a piece, whole tiles: what is computed of them fits half a megabyte of cache


class Layers(NamedTuple):
    """What is added and multiplied, `L` layers of each.

    Arguments:
        base: `(B or 1, R, L, 2 G)`: added before the gates; biases, and a context at its own rate.
        held: Rows of h per row of `base`.
        rows: `(B, N, D)`: a context with as many rows as h, of no columns where there is none.
        project: `(L, 2 G, D)`: its weights; `(L, D, 2 G)` on the way forward.
        bias: `(L, C)`: added to the residual path.
        taps: `(L, 2 G, k C)`; `(L, k C, 2 G)` on the way forward.
        out: `(L, C + S, G)`; `(L, G, C + S)` on the way forward.
        taps_panels: `(L, 2 G / PANEL, k C + D, PANEL)` on the way forward: taps and `project` once
            more, where they fit; no panels otherwise.
        out_panels: `(L, (C + S) / PANEL, G, PANEL)`, likewise.
        shifts: `(L, k)`: how far back each tap lies, the nearest last.
        goes_on: Whether the last layer has a residual path.
    """

    base: np.ndarray
    held: int
    rows: np.ndarray
    project: np.ndarray
    bias: np.ndarray
    taps: np.ndarray
    out: np.ndarray
    taps_panels: np.ndarray
    out_panels: np.ndarray
    shifts: np.ndarray
    goes_on: bool


def factors(a: float, b: float) -> tuple[float, float]:
    """Return tanh(a / 2) and the sigmoid of b; in compiled code alone.

    In float32 to 4e-7, with one division and no call, so that loops vectorize: the sixth convergent
    of Lambert's continued fraction gives tanh(z / 4) as p / q, and a doubling makes it accurate
    over the whole range, tanh(z / 2) = 2 p q / (q^2 + p^2).
    """
    raise NotImplementedError("factors runs in compiled code alone.")


@overload(factors, jit_options={"fastmath": True}, inline="always")
def _factors(a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if a != types.float32:
        return lambda a, b: (np.tanh(a / 2), 0.5 + 0.5 * np.tanh(b / 2))

    def rational(a, b):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        f = np.float32
        u = f(0.25) * min(max(a, f(-18)), f(18))
        v = f(0.25) * min(max(b, f(-18)), f(18))
        s, t = u * u, v * v
        p = u * (f(10395) + s * (f(1260) + s * f(21)))
        q = f(10395) + s * (f(4725) + s * (f(210) + s))
        m = v * (f(10395) + t * (f(1260) + t * f(21)))
        n = f(10395) + t * (f(4725) + t * (f(210) + t))
        below_a, below_b, both = q * q + p * p, n * n + m * m, m + n
        inverse = f(1) / (below_a * below_b)
        return f(2) * p * q * below_b * inverse, f(0.5) * both * both * below_a * inverse

    return rational


@jit
def gate(z: np.ndarray, net: Layers, b: int, i: int, low: int, g: np.ndarray) -> None:
    """Write the gate of z `(n, 2 G)` into g `(n, G)`; row 0 is row `low` of sequence b."""
    own, gates = b if net.base.shape[0] > 1 else 0, g.shape[1]
    for r in range(z.shape[0]):
        base = net.base[own, (low + r) // net.held, i]
        for j in range(gates):
            a, s = factors(z[r, j] + base[j], z[r, gates + j] + base[gates + j])
            g[r, j] = a * s


@jit
def gate_kept(
    z: np.ndarray, net: Layers, b: int, i: int, low: int, g: np.ndarray, kept: np.ndarray
) -> None:
    """Do the same, and keep both factors in `kept` `(n, 2 G)`."""
    own, gates = b if net.base.shape[0] > 1 else 0, g.shape[1]
    for r in range(z.shape[0]):
        base = net.base[own, (low + r) // net.held, i]
        for j in range(gates):
            a, s = factors(z[r, j] + base[j], z[r, gates + j] + base[gates + j])
            kept[r, j] = a
            kept[r, gates + j] = s
            g[r, j] = a * s


@jit
def gate_backward(
    kept: np.ndarray, held: int, i: int, low: int, g: np.ndarray, dz: np.ndarray, dbase: np.ndarray
) -> None:
    """Turn the gradient of g `(n, G)` into dz; the gate's output takes its place.

    Arguments:
        kept: `(n, 2 G)`, of row `low` and after.
        held: Rows per row of `dbase`.
        i: The layer.
        low: Row of the sequence that row 0 is.
        g: Read and written.
        dz: `(n, 2 G)`, written.
        dbase: `(R, L, 2 G)`, added to.
    """
    one, half = g.dtype.type(1), g.dtype.type(0.5)
    rows, gates = g.shape
    total = np.zeros(2 * gates, g.dtype)
    for r in range(rows):
        for j in range(gates):
            a, s, d = kept[r, j], kept[r, gates + j], g[r, j]
            da = d * s * half * (one - a * a)
            ds = d * a * s * (one - s)
            dz[r, j] = da
            dz[r, gates + j] = ds
            total[j] += da
            total[gates + j] += ds
            g[r, j] = a * s
        # Sums of few rows at a time stay exact, however long the sequence is.
        if (low + r + 1) % held == 0 or r == rows - 1:
            own = dbase[(low + r) // held, i]
            for j in range(2 * gates):
                own[j] += total[j]
                total[j] = 0


@jit
def pieces(rows: int) -> tuple[int, int]:
    """Return how many pieces there are, and the rows of all but the last."""
    count = (rows + ROWS - 1) // ROWS
    return count, (rows + count - 1) // count


@jit
def products(
    z: np.ndarray, net: Layers, h: np.ndarray, b: int, i: int, low: int, high: int
) -> None:
    """Write the products of the taps that rows low to high of h `(N, C)` see."""
    channels, kernel = h.shape[1], net.shifts.shape[1]
    if net.taps_panels.shape[1] and low >= net.shifts[i, 0]:
        own = net.taps_panels[i]
        taps_times_panels(h, net.shifts[i], net.rows[b], low, own, z[: high - low])
        return
    for k in range(kernel - 1, -1, -1):
        s = net.shifts[i, k]
        first = max(low, s)
        if first < high:
            weights = net.taps[i, k * channels : (k + 1) * channels]
            into = z[first - low : high - low]
            times(h[first - s : high - s], weights, into, k < kernel - 1)
    if net.rows.shape[2]:
        times(net.rows[b, low:high], net.project[i], z[: high - low], True)


@jit
def leave(
    g: np.ndarray, net: Layers, i: int, h: np.ndarray, after: np.ndarray, total: np.ndarray
) -> None:
    """Map what left the gates, `(n, G)`, to the residual path and to the sum of the skips."""
    channels, panels = h.shape[1], net.out_panels[i]
    split = channels // PANEL if panels.shape[0] else 0
    if net.goes_on or i < net.taps.shape[0] - 1:
        for r in range(h.shape[0]):
            for c in range(channels):
                after[r, c] = h[r, c] + net.bias[i, c]
        if split:
            times_panels(g, panels[:split], after, True)
        else:
            times(g, net.out[i, :, :channels], after, True)
    if total.shape[1]:
        if split:
            times_panels(g, panels[split:], total, True)
        else:
            times(g, net.out[i, :, channels:], total, True)


@jit
def forward(h: np.ndarray, total: np.ndarray, net: Layers, begin: int, end: int) -> None:
    """Carry sequences begin to end of h `(B, N, C)` through all layers, in place.

    Arguments:
        h: The input of the first layer, replaced by the output of the last one.
        total: `(B, N, S)`, to which skips are added.
        net: The layers.
        begin: First sequence.
        end: Last sequence, plus one.
    """
    sites, layers, gates = h.shape[1], net.taps.shape[0], net.taps.shape[2] // 2
    count, each = pieces(sites)
    z, g = np.empty((each, 2 * gates), h.dtype), np.empty((each, gates), h.dtype)
    for b in range(begin, end):
        for i in range(layers):
            # From the last piece to the first: later layers' taps look back, never forward.
            for p in range(count - 1, -1, -1):
                low, high = p * each, min(sites, (p + 1) * each)
                if low >= high:
                    continue
                n, own = high - low, h[b, low:high]
                products(z, net, h[b], b, i, low, high)
                gate(z[:n], net, b, i, low, g[:n])
                leave(g[:n], net, i, own, own, total[b, low:high])


@jit
def forward_kept(
    h: np.ndarray,
    inputs: np.ndarray,
    last: np.ndarray,
    kept: np.ndarray,
    total: np.ndarray,
    net: Layers,
    begin: int,
    end: int,
) -> None:
    """Do the same, and keep what the backward pass needs.

    Arguments:
        h: The input of the first layer.
        inputs: `(L - 1, B, N, C)`: those of the others, written.
        last: `(B, N, C)`: the output of the last layer, written if it goes on.
        kept: `(L, B, N, 2 G)`: the factors of the gates, written.
        total: As in `forward`.
        net: As in `forward`.
        begin: As in `forward`.
        end: As in `forward`.
    """
    sites, layers, gates = h.shape[1], net.taps.shape[0], net.taps.shape[2] // 2
    count, each = pieces(sites)
    z, g = np.empty((each, 2 * gates), h.dtype), np.empty((each, gates), h.dtype)
    for i in range(layers):
        for b in range(begin, end):
            own = h[b] if i == 0 else inputs[i - 1, b]
            after = last[b] if i == layers - 1 else inputs[i, b]
            for p in range(count):
                low, high = p * each, min(sites, (p + 1) * each)
                if low >= high:
                    continue
                n = high - low
                products(z, net, own, b, i, low, high)
                gate_kept(z[:n], net, b, i, low, g[:n], kept[i, b, low:high])
                leave(g[:n], net, i, own[low:high], after[low:high], total[b, low:high])
