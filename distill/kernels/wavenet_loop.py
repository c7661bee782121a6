"""The autoregressive WaveNet as one compiled loop over sites, layers and streams, for CPUs.

Weights lie input-major, so that each inner loop runs over outputs side by side in vector
registers. The plain twin is `Conditioner.generate_by_steps`. Importing this file imports numba.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from distill.kernels.gated_stack import factors
from distill.kernels.jit import jit
from distill.kernels.tiles import WIDTH, add_wide_panels, times

_AHEAD = 8  # blocks whose earlier taps are added up at once
_MANY = 4  # rows from which BLAS pays

LOCATION_SCALE, MIXTURE, TABLE = 0, 1, 2


class Weights(NamedTuple):
    """A WaveNet as plain arrays: float32, contiguous, inputs before outputs.

    Arguments:
        first: `(r + P A, C)`: weights of the input map, A sites of each of P pitch periods ago.
        taps: `(L, k, 2 G / w, C, w)`: in panels of w columns, whose numbers run on (`panel_width`).
        out: `(L, (C + S) / w, G, w)`: residual columns first, zero where a layer has none.
        out_bias: `(L, C + S)`.
        hidden: `(W, W)`, W = S or C.
        hidden_bias: `(W,)`.
        last: `(W, r P + r (r - 1) / 2)`.
        last_bias: Likewise, the head's offset included.
        moved: `(P,)`: 1 at locations, which earlier sites of the block move.
        reach: `(L,)`: (k - 1) d of each layer.
        kernel: k.
        block: r.
    """

    first: np.ndarray
    taps: np.ndarray
    out: np.ndarray
    out_bias: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    last: np.ndarray
    last_bias: np.ndarray
    moved: np.ndarray
    reach: np.ndarray
    kernel: int
    block: int


class Sampling(NamedTuple):
    """How parameters become a sample: see `distill.distributions.head.SamplingSpec`."""

    kind: int
    min_log_scale: float
    limit: float
    table: np.ndarray
    temperature: float


@jit
def accumulate(out: np.ndarray, x: np.ndarray, w: np.ndarray) -> None:
    """Add `x @ w` to `out`: in tiles where columns fill vectors, and by a plain loop otherwise."""
    streams, inputs, outputs = x.shape[0], w.shape[0], w.shape[1]
    if streams >= _MANY or outputs % WIDTH == 0:
        times(x, w, out, True)
        return
    whole = inputs - inputs % 8
    for b in range(streams):
        own, to = x[b], out[b]
        for c in range(0, whole, 8):
            p0, p1, p2, p3 = own[c], own[c + 1], own[c + 2], own[c + 3]
            p4, p5, p6, p7 = own[c + 4], own[c + 5], own[c + 6], own[c + 7]
            for j in range(outputs):
                low = p0 * w[c, j] + p1 * w[c + 1, j] + p2 * w[c + 2, j] + p3 * w[c + 3, j]
                high = p4 * w[c + 4, j] + p5 * w[c + 5, j] + p6 * w[c + 6, j] + p7 * w[c + 7, j]
                to[j] += low + high
        for c in range(whole, inputs):
            for j in range(outputs):
                to[j] += own[c] * w[c, j]


def panel_width(streams: int, columns: int) -> int:
    """Return how many columns of a matrix lie together, so that what a tile reads runs on.

    Few streams wait for weights from the outer caches, which come fastest in one run.

    Example:
        >>> panel_width(1, 16 * WIDTH) == 8 * WIDTH, panel_width(16, 16 * WIDTH) == 2 * WIDTH
        (True, True)
        >>> panel_width(1, 6)
        6
    """
    width = WIDTH * (8 if streams < _MANY else 2)
    return width if columns % width == 0 else columns


@jit
def add_panels(out: np.ndarray, x: np.ndarray, w: np.ndarray) -> None:
    """Add `x @ w` to `out`, the columns of w in panels `(n / w, k, w)`."""
    width = w.shape[2]
    if width == 8 * WIDTH and x.shape[0] < _MANY:
        add_wide_panels(x, w, out)
        return
    for p in range(w.shape[0]):
        accumulate(out[:, p * width : (p + 1) * width], x, w[p])


@jit
def look_back(
    net: Weights, z: np.ndarray, base: np.ndarray, held: int, rings: np.ndarray, at: tuple
) -> None:
    """Write what blocks to come add up from their earlier taps, which are all known.

    One product for several blocks reads the weights of these taps once.

    Arguments:
        net: The network.
        z: `(n, B, 2 G)`: of n blocks that follow each other.
        base: As in `generate`.
        held: As in `generate`.
        rings: Those of one layer, `(reach, B, C)`.
        at: The layer, the first of these blocks, and that one's number from `begin` on.
    """
    i, n, place = at
    blocks, streams, width = z.shape
    reach, channels = rings.shape[0], rings.shape[2]
    dilation = reach // (net.kernel - 1)
    for r in range(blocks):
        for b in range(streams):
            z[r, b] = base[b if base.shape[0] > 1 else 0, (place + r) // held, i]
    flat = z.reshape(blocks * streams, width)
    for k in range(net.kernel - 1):
        slot = (n + k * dilation) % reach
        seen = rings[slot : slot + blocks].reshape(blocks * streams, channels)
        add_panels(flat, seen, net.taps[i, k])


@jit
def pick(logits: np.ndarray, uniform: float, temperature: float) -> int:
    """Return the first class whose cumulative probability exceeds `uniform`."""
    top = logits.max()
    total = 0.0
    for c in range(len(logits)):
        total += math.exp((logits[c] - top) / temperature)
    reached = 0.0
    for c in range(len(logits) - 1):
        reached += math.exp((logits[c] - top) / temperature) / total
        if reached > uniform:
            return c
    return len(logits) - 1


@jit
def draw(raw: np.ndarray, noise: np.ndarray, how: Sampling) -> float:
    """Turn one site's parameters and noise into a sample."""
    if how.kind == TABLE:
        return how.table[pick(raw, noise[0], max(how.temperature, 1e-4))]
    if how.kind == MIXTURE:
        components = len(raw) // 3
        c = pick(raw[:components], noise[0], 1.0)
        loc, log_scale, u = raw[components + c], raw[2 * components + c], noise[1]
    else:
        loc, log_scale, u = raw[0], raw[1], noise[0]
    x = loc + how.temperature * u * math.exp(max(log_scale, how.min_log_scale))
    return min(max(x, -how.limit), how.limit)


@jit
def enter(
    net: Weights, h: np.ndarray, x: np.ndarray, added: np.ndarray, ago: np.ndarray, n: int
) -> None:
    """Fill the first layer's input of block n from the block before and from periods ago."""
    r, streams = net.block, x.shape[0]
    each = (net.first.shape[0] - r) // ago.shape[1]
    for b in range(streams):
        h[b] = added[b if added.shape[0] > 1 else 0]
        for k in range(net.first.shape[0]):
            site = (n - 1) * r + k
            if k >= r:
                distance = ago[b if ago.shape[0] > 1 else 0, (k - r) // each]
                if distance == 0:
                    continue
                site = n * r - distance - (each - r + 1) // 2 + (k - r) % each
            if site >= 0:
                for j in range(h.shape[1]):
                    h[b, j] += x[b, site] * net.first[k, j]


@jit
def leave(
    net: Weights, how: Sampling, raw: np.ndarray, noise: np.ndarray, x: np.ndarray, n: int
) -> None:
    """Draw the sites of block n, one after the other."""
    r, each = net.block, len(net.moved)
    own = np.empty(each, np.float32)
    for b in range(x.shape[0]):
        at = r * each
        for j in range(r):
            shift = np.float32(0)
            if raw.shape[1] > r * each:
                for i in range(j):
                    shift += raw[b, at] * x[b, n * r + i]
                    at += 1
            for p in range(each):
                own[p] = raw[b, j * each + p] + shift * net.moved[p]
            x[b, n * r + j] = draw(own, noise[b, n * r + j], how)


@jit
def generate(
    net: Weights,
    how: Sampling,
    noise: np.ndarray,
    base: np.ndarray,
    held: int,
    entry: np.ndarray,
    ago: np.ndarray,
    x: np.ndarray,
    rings: np.ndarray,
    begin: int,
    end: int,
) -> None:
    """Fill blocks begin <= n < end of `x` `(B, N r)`, one after the other.

    Arguments:
        net: The network.
        how: Its head.
        noise: `(B, N r, Z)`.
        base: `(B or 1, R, L, 2 G)`: projected context plus the bias of the taps, from `begin` on.
        held: Blocks per row of `base`; divides `begin`.
        entry: `(B or 1, n or 1, C)`: what is added to the mapped input, from `begin` on.
        ago: `(B or 1, n or 1, P)`: distances of the sites periods ago, from `begin` on; 0 for none.
        x: The result.
        rings: `(sum of reach, B, C)`: the layers' last inputs, zero at the start, written in place.
        begin: First block to fill; those before it are there already.
        end: Last block to fill, plus one.
    """
    streams = x.shape[0]
    layers, width = net.taps.shape[0], net.taps.shape[2] * net.taps.shape[4]
    channels, gate, kernel = net.first.shape[1], width // 2, net.kernel
    skips = net.out.shape[1] * net.out.shape[3] - channels
    offsets = np.zeros(layers + 1, np.int64)
    for i in range(layers):
        offsets[i + 1] = offsets[i] + net.reach[i]
    h = np.zeros((streams, channels), np.float32)
    # Of each layer, so that what a block adds up from earlier taps may be there before it.
    ahead = np.zeros((layers, _AHEAD, streams, width), np.float32)
    g = np.zeros((streams, gate), np.float32)
    o = np.zeros((streams, channels + skips), np.float32)
    total = np.zeros((streams, net.hidden.shape[0]), np.float32)
    middle = np.zeros((streams, net.hidden.shape[0]), np.float32)
    raw = np.zeros((streams, net.last.shape[1]), np.float32)
    for n in range(begin, end):
        total[:] = 0
        here = n - begin if entry.shape[1] > 1 else 0
        enter(net, h, x, entry[:, here], ago[:, n - begin if ago.shape[1] > 1 else 0], n)
        for i in range(layers):
            reach = net.reach[i]
            # Dilations are powers of two: these blocks lie side by side in a ring.
            known = min(reach // (kernel - 1), _AHEAD)
            first = n % known
            ring = rings[offsets[i] : offsets[i] + reach]
            if n == begin or first == 0:
                last = first + min(known - first, end - n)
                look_back(net, ahead[i, first:last], base, held, ring, (i, n, n - begin))
            z = ahead[i, first]
            for b in range(streams):
                for j in range(channels):
                    ring[n % reach, b, j] = h[b, j]
                for j in range(channels + skips):
                    o[b, j] = net.out_bias[i, j]
            add_panels(z, h, net.taps[i, kernel - 1])
            for b in range(streams):
                for j in range(gate):
                    a, s = factors(z[b, j], z[b, gate + j])
                    g[b, j] = a * s
            add_panels(o, g, net.out[i])
            for b in range(streams):
                for j in range(channels):
                    h[b, j] += o[b, j]
                for j in range(skips):
                    total[b, j] += o[b, channels + j]
        for b in range(streams):
            for j in range(total.shape[1]):
                y = total[b, j] if skips else h[b, j]
                total[b, j] = max(y, np.float32(0))
                middle[b, j] = net.hidden_bias[j]
            raw[b] = net.last_bias
        accumulate(middle, total, net.hidden)
        for b in range(streams):
            for j in range(total.shape[1]):
                middle[b, j] = max(middle[b, j], np.float32(0))
        accumulate(raw, middle, net.last)
        leave(net, how, raw, noise, x, n)
