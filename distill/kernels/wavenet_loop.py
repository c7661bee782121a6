"""The autoregressive WaveNet as one compiled loop over sites, layers and streams, for CPUs.

Weights lie input-major, so that each inner loop runs over outputs side by side in vector
registers. The plain twin is `Conditioner.generate_by_steps`. Importing this file imports numba.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

LOCATION_SCALE, MIXTURE, TABLE = 0, 1, 2


class Weights(NamedTuple):
    """A WaveNet as plain arrays: float32, contiguous, inputs before outputs.

    Arguments:
        first: `(C,)`: weight of the input map.
        taps: `(L, k C, 2 G)`.
        out: `(L, G, C + S)`: residual columns first, zero where a layer has none.
        out_bias: `(L, C + S)`.
        hidden: `(W, W)`, W = S or C.
        hidden_bias: `(W,)`.
        last: `(W, P)`.
        last_bias: `(P,)`, the head's offset included.
        reach: `(L,)`: (k - 1) d of each layer.
        kernel: k.
    """

    first: np.ndarray
    taps: np.ndarray
    out: np.ndarray
    out_bias: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    last: np.ndarray
    last_bias: np.ndarray
    reach: np.ndarray
    kernel: int


class Sampling(NamedTuple):
    """How parameters become a sample: see `distill.distributions.head.Recipe`."""

    kind: int
    min_log_scale: float
    limit: float
    table: np.ndarray
    temperature: float


def _jit(function: Any) -> Any:
    options: dict[str, Any] = {"fastmath": True, "nogil": True, "error_model": "numpy"}
    try:
        # Safe because every compiled function lies in this file, whose date and size are the key.
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to write to
        return njit(**options)(function)


@_jit
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


@_jit
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


@_jit
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


@_jit
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


@_jit
def generate(
    net: Weights,
    how: Sampling,
    noise: np.ndarray,
    base: np.ndarray,
    hop: int,
    entry: np.ndarray,
    x: np.ndarray,
    rings: np.ndarray,
    begin: int,
    end: int,
) -> None:
    """Fill sites begin <= t < end of `x` `(B, T)`, one after the other.

    Arguments:
        net: The network.
        how: Its head.
        noise: `(B, T, N)`.
        base: `(B or 1, F, L, 2 G)`: projected context plus the bias of the taps, from `begin` on.
        hop: Sites per row of `base`; divides `begin`.
        entry: `(B or 1, t or 1, C)`: what is added to the mapped input, from `begin` on.
        x: The result.
        rings: `(sum of reach, B, C)`: the layers' last inputs, zero at the start, written in place.
        begin: First site to fill; those before it are there already.
        end: Last site to fill, plus one.
    """
    streams = x.shape[0]
    layers, width = net.taps.shape[0], net.taps.shape[2]
    channels, gate, kernel = net.first.shape[0], width // 2, net.kernel
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
    for t in range(begin, end):
        total[:] = 0
        for b in range(streams):
            last = x[b, t - 1] if t else np.float32(0)
            added = entry[b if entry.shape[0] > 1 else 0, t - begin if entry.shape[1] > 1 else 0]
            for j in range(channels):
                h[b, j] = last * net.first[j] + added[j]
        for i in range(layers):
            reach = net.reach[i]
            dilation = reach // (kernel - 1)
            for b in range(streams):
                for k in range(kernel - 1):
                    slot = offsets[i] + (t + k * dilation) % reach
                    for j in range(channels):
                        taps[b, k * channels + j] = rings[slot, b, j]
                slot = offsets[i] + t % reach
                for j in range(channels):
                    taps[b, (kernel - 1) * channels + j] = h[b, j]
                    rings[slot, b, j] = h[b, j]
                row = b if base.shape[0] > 1 else 0
                for j in range(width):
                    z[b, j] = base[row, (t - begin) // hop, i, j]
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
        for b in range(streams):
            x[b, t] = draw(raw[b], noise[b, t], how)
