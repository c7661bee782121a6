"""The autoregressive WaveNet as one compiled loop over sites, layers and streams, for CPUs.

Weights lie input-major, so that each inner loop runs over outputs side by side in vector
registers. The plain twin is `Conditioner.generate_by_steps`. Importing this file imports numba.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from distill.kernels.jit import jit

LOCATION_SCALE, MIXTURE, TABLE = 0, 1, 2


class Weights(NamedTuple):
    """A WaveNet as plain arrays: float32, contiguous, inputs before outputs.

    Arguments:
        first: `(r + A, C)`: weights of the input map, A sites of a pitch period ago.
        taps: `(L, k C, 2 G)`.
        out: `(L, G, C + S)`: residual columns first, zero where a layer has none.
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
    """Add `x @ w` to `out`, four inputs (and two streams) at a time."""
    streams, inputs, outputs = x.shape[0], w.shape[0], w.shape[1]
    whole = inputs - inputs % 4
    for b in range(0, streams - 1, 2):
        for c in range(0, whole, 4):
            p0, p1, p2, p3 = x[b, c], x[b, c + 1], x[b, c + 2], x[b, c + 3]
            q0, q1, q2, q3 = x[b + 1, c], x[b + 1, c + 1], x[b + 1, c + 2], x[b + 1, c + 3]
            for j in range(outputs):
                w0, w1, w2, w3 = w[c, j], w[c + 1, j], w[c + 2, j], w[c + 3, j]
                out[b, j] += p0 * w0 + p1 * w1 + p2 * w2 + p3 * w3
                out[b + 1, j] += q0 * w0 + q1 * w1 + q2 * w2 + q3 * w3
    if streams % 2:
        b = streams - 1
        for c in range(0, whole, 4):
            p0, p1, p2, p3 = x[b, c], x[b, c + 1], x[b, c + 2], x[b, c + 3]
            for j in range(outputs):
                out[b, j] += p0 * w[c, j] + p1 * w[c + 1, j] + p2 * w[c + 2, j] + p3 * w[c + 3, j]
    for b in range(streams):
        for c in range(whole, inputs):
            for j in range(outputs):
                out[b, j] += x[b, c] * w[c, j]


@jit
def half_tanh(z: np.ndarray) -> None:
    """Replace z by tanh(z / 2) to 3e-7, in place, without calls, so that the loop vectorizes.

    The sixth convergent of Lambert's continued fraction gives tanh(z / 4) as p / q; one doubling,
    tanh 2a = 2 tanh a / (1 + tanh^2 a), makes it accurate over the whole range.
    """
    streams, width = z.shape
    for b in range(streams):
        for j in range(width):
            u = np.float32(0.25) * min(max(z[b, j], np.float32(-18)), np.float32(18))
            s = u * u
            p = u * (np.float32(10395) + s * (np.float32(1260) + s * np.float32(21)))
            q = np.float32(10395) + s * (np.float32(4725) + s * (np.float32(210) + s))
            z[b, j] = np.float32(2) * p * q / (q * q + p * p)


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
    """Fill the first layer's input of block n from the block before and from a period ago."""
    r, streams = net.block, x.shape[0]
    around = net.first.shape[0] - r
    for b in range(streams):
        h[b] = added[b if added.shape[0] > 1 else 0]
        distance = ago[b if ago.shape[0] > 1 else 0]
        for k in range(r + around):
            site = (n - 1) * r + k
            if k >= r:
                if distance == 0:
                    break
                site = n * r - distance - (around - r + 1) // 2 + k - r
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
        ago: `(B or 1, n or 1)`: distance of the sites a period ago, from `begin` on; 0 for none.
        x: The result.
        rings: `(sum of reach, B, C)`: the layers' last inputs, zero at the start, written in place.
        begin: First block to fill; those before it are there already.
        end: Last block to fill, plus one.
    """
    streams = x.shape[0]
    layers, width = net.taps.shape[0], net.taps.shape[2]
    channels, gate, kernel = net.first.shape[1], width // 2, net.kernel
    skips = net.out.shape[2] - channels
    offsets = np.zeros(layers + 1, np.int64)
    for i in range(layers):
        offsets[i + 1] = offsets[i] + net.reach[i]
    h = np.zeros((streams, channels), np.float32)
    taps = np.zeros((streams, kernel * channels), np.float32)
    z = np.zeros((streams, width), np.float32)
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
            dilation = reach // (kernel - 1)
            for b in range(streams):
                for k in range(kernel - 1):
                    slot = offsets[i] + (n + k * dilation) % reach
                    for j in range(channels):
                        taps[b, k * channels + j] = rings[slot, b, j]
                slot = offsets[i] + n % reach
                for j in range(channels):
                    taps[b, (kernel - 1) * channels + j] = h[b, j]
                    rings[slot, b, j] = h[b, j]
                row = b if base.shape[0] > 1 else 0
                for j in range(width):
                    z[b, j] = base[row, (n - begin) // held, i, j]
                for j in range(channels + skips):
                    o[b, j] = net.out_bias[i, j]
            accumulate(z, taps, net.taps[i])
            half_tanh(z)
            for b in range(streams):
                for j in range(gate):
                    g[b, j] = z[b, j] * (np.float32(0.5) + np.float32(0.5) * z[b, gate + j])
            accumulate(o, g, net.out[i])
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
