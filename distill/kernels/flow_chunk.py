"""One WaveNet IAF over a chunk of blocks, as one compiled function.

The plain twin is `Autoregressive.run` with a `WaveNet` and an `Affine` transform. Importing this
file imports numba.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from distill.kernels.gated_stack import Layers, gate, leave, pieces, products
from distill.kernels.jit import jit
from distill.kernels.tiles import times


class FlowWeights(NamedTuple):
    """A WaveNet and its transform as arrays: float32, contiguous, inputs before outputs.

    Arguments:
        first: `(r + P (r + A - 1), C)`: weights of the block before, then of the sites one, two,
            ... P pitch periods ago.
        first_bias: `(C,)`.
        source: `(r S, C)`, no rows without a source.
        context: `(D, L 2 G)`, no rows without a context.
        base: `(L 2 G,)`: biases of the taps.
        layers: Everything but `base` and `held`, which a chunk makes.
        skip_bias: `(S,)`: of all layers together.
        hidden: `(W, W)`, W = S or C.
        hidden_bias: `(W,)`.
        last: `(W, n)`: raw parameters of r sites, coefficients of the block, zeros.
        last_bias: Likewise.
        reach: `(L,)`.
        block: r.
        history: Sites that the state holds.
        around: Sites read around the one a pitch period ago, 0 for none.
        longest: Largest distance of these.
        periods: P.
        mixes: Whether sites of a block move each other.
        bound: Of the log-scale, 0 for none.
        log_scale: At raw parameters of zero.
    """

    first: np.ndarray
    first_bias: np.ndarray
    source: np.ndarray
    context: np.ndarray
    base: np.ndarray
    layers: Layers
    skip_bias: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    last: np.ndarray
    last_bias: np.ndarray
    reach: np.ndarray
    block: int
    history: int
    around: int
    longest: int
    periods: int
    mixes: bool
    bound: float
    log_scale: float


@jit
def periods_ago(lag: float, net: FlowWeights, more: int) -> int:
    """Return how far back a block's sites of a pitch period ago, and `more`, lie; 0 for none.

    The plain twin is `distill.networks.blocks.whole_periods`.
    """
    least, f = net.block + net.around // 2, np.float32
    if not lag > 0:
        return 0
    # In float32 step by step, as the twin rounds.
    periods = max(np.ceil(f(least) / f(max(lag, 1e-3))), f(1)) + f(more)
    distance = int(np.floor(periods * f(lag) + f(0.5)))
    return distance if least <= distance <= net.longest else 0


@jit
def enter(
    net: FlowWeights, whole: np.ndarray, source: np.ndarray, lag: np.ndarray, h: np.ndarray
) -> None:
    """Write the first layer's input `(N, C)` from H sites and the chunk after them."""
    r, each = net.block, net.block + net.around - 1
    seen = np.zeros((h.shape[0], net.first.shape[0]), np.float32)
    for n in range(h.shape[0]):
        start = net.history + n * r
        seen[n, :r] = whole[start - r : start]
        for p in range(net.periods if net.around else 0):
            distance = periods_ago(lag[n * r], net, p)
            if distance:
                begin = start - net.around // 2 - distance
                for k in range(each):
                    site = min(max(begin + k, 0), len(whole) - 1)
                    seen[n, r + p * each + k] = whole[site]
        h[n] = net.first_bias
    times(seen, net.first, h, True)
    if net.source.shape[0]:
        times(source.reshape(h.shape[0], -1), net.source, h, True)


@jit
def through(
    net: FlowWeights, layers: Layers, buffer: np.ndarray, past: np.ndarray, total: np.ndarray
) -> None:
    """Carry the N last rows of a buffer through all layers, each after its own past.

    Arguments:
        net: The network.
        layers: Its layers, with what this chunk's context adds.
        buffer: `(longest reach + N, C)`; the last N rows are replaced by the last layer's output.
        past: `(sum of reach, C)`, replaced by that of the next chunk.
        total: `(N, S)`, to which skips are added.
    """
    count, place = total.shape[0], 0
    before = buffer.shape[0] - count
    many, each = pieces(count)
    gates = layers.taps.shape[2] // 2
    z, g = np.empty((each, 2 * gates), np.float32), np.empty((each, gates), np.float32)
    for i in range(len(net.reach)):
        reach = net.reach[i]
        own = past[place : place + reach]
        buffer[before - reach : before] = own
        own[:] = buffer[before + count - reach :]
        place += reach
        # From the last piece to the first: taps look back, never forward.
        for p in range(many - 1, -1, -1):
            low, high = p * each, min(count, (p + 1) * each)
            if low >= high:
                continue
            n, h = high - low, buffer[before + low : before + high]
            products(z, layers, buffer, 0, i, before + low, before + high)
            gate(z[:n], layers, 0, i, low, g[:n])
            leave(g[:n], layers, i, h, h, total[low:high])


@jit
def transform(
    net: FlowWeights, raw: np.ndarray, u: np.ndarray, x: np.ndarray, log_prob: np.ndarray
) -> None:
    """Map noise u to x by each block's raw parameters, and score what comes out."""
    r = net.block
    for n in range(raw.shape[0]):
        at = 2 * r
        for j in range(r):
            t, moved = n * r + j, raw[n, 2 * j]
            if net.mixes:
                for i in range(j):
                    moved += raw[n, at + i] * u[n * r + i]
                at += j
            scale = raw[n, 2 * j + 1]
            if net.bound > 0:
                scale = np.float32(net.bound) * np.float32(math.tanh(scale / np.float32(net.bound)))
            scale += np.float32(net.log_scale)
            x[t] = u[t] * np.float32(math.exp(scale)) + moved
            log_prob[t] -= scale


@jit
def log_density(u: np.ndarray, logistic: bool) -> np.ndarray:
    """Return the log-density of noise `(T,)`, normal or logistic.

    The plain twins are `Normal.log_prob` and `Logistic.log_prob`.
    """
    out = np.empty_like(u)
    for t in range(len(u)):
        if logistic:
            far = abs(u[t])
            out[t] = -far - 2 * math.log1p(math.exp(-far))
        else:
            out[t] = np.float32(-0.5) * u[t] * u[t] - np.float32(0.5 * math.log(2 * math.pi))
    return out


@jit
def run(
    net: FlowWeights,
    u: np.ndarray,
    rows: np.ndarray,
    source: np.ndarray,
    lag: np.ndarray,
    sites: np.ndarray,
    past: np.ndarray,
    log_prob: np.ndarray,
) -> np.ndarray:
    """Return the next chunk of samples of one sequence.

    Arguments:
        net: The flow.
        u: `(T,)`, whole blocks.
        rows: Of the context, `(R, D)`, each held for T / R sites.
        source: `(T, S)`.
        lag: `(T,)`.
        sites: `(H,)`: the last sites before the chunk; replaced by the next chunk's.
        past: `(sum of reach, C)`, likewise.
        log_prob: `(T,)`: that of u, which becomes that of x.
    """
    r, channels = net.block, net.first.shape[1]
    count, given, base = len(u) // r, net.layers, net.base.reshape(1, 1, -1)
    held = count
    if net.context.shape[0]:
        own = np.empty((rows.shape[0], len(net.base)), np.float32)
        own[:] = net.base
        times(rows, net.context, own, True)
        base, held = own.reshape(1, rows.shape[0], len(net.base)), count // rows.shape[0]
    layers = Layers(
        base.reshape(1, base.shape[1], len(net.reach), -1),
        held,
        given.rows,
        given.project,
        given.bias,
        given.taps,
        given.out,
        given.taps_panels,
        given.out_panels,
        given.shifts,
        given.goes_on,
    )
    whole = np.concatenate((sites, u))
    before = net.reach.max()
    buffer = np.empty((before + count, channels), np.float32)
    h = buffer[before:]
    enter(net, whole, source, lag, h)
    sites[:] = whole[len(u) :]
    total = np.zeros((count, len(net.skip_bias)), np.float32)
    through(net, layers, buffer, past, total)
    if total.shape[1]:
        h = total
        for n in range(count):
            for c in range(h.shape[1]):
                h[n, c] += net.skip_bias[c]
    middle = np.empty_like(h)
    raw = np.empty((count, len(net.last_bias)), np.float32)
    for n in range(count):
        for c in range(h.shape[1]):
            h[n, c] = max(h[n, c], np.float32(0))
        middle[n] = net.hidden_bias
        raw[n] = net.last_bias
    times(h, net.hidden, middle, True)
    for n in range(count):
        for c in range(h.shape[1]):
            middle[n, c] = max(middle[n, c], np.float32(0))
    times(middle, net.last, raw, True)
    x = np.empty_like(u)
    transform(net, raw, u, x, log_prob)
    return x
