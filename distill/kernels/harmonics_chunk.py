"""Harmonics, voices and lags of a chunk's sites, as one compiled function.

The plain twin is `HarmonicEncoder`. Importing this file imports numba.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from distill.kernels.frames_chunk import Encoder, line
from distill.kernels.jit import jit
from distill.kernels.tiles import times


class Harmonics(NamedTuple):
    """What a `HarmonicEncoder` adds to a `FrameEncoder`.

    Arguments:
        number: Of harmonics, 0 for none.
        mixing: `(D, V 2 number)`: weights of the voices, of no columns without voices.
        mixing_bias: Likewise.
        loudness: `(D, V)`.
        loudness_bias: Likewise.
        loudest: Bound of a voice's log-gain.
    """

    number: int
    mixing: np.ndarray
    mixing_bias: np.ndarray
    loudness: np.ndarray
    loudness_bias: np.ndarray
    loudest: float


@jit
def apart(now: np.ndarray, then: np.ndarray, reached: float) -> float:
    """Return by how many turns the next frame's phase differs from where the line arrives."""
    told = (then[0] != now[0] or then[1] != now[1]) and now[0] * now[0] + now[1] * now[1] > 0
    if not (told and then[0] * then[0] + then[1] * then[1] > 0):
        return 0.0
    turned = math.atan2(then[1] * now[0] - then[0] * now[1], then[0] * now[0] + then[1] * now[1])
    off = turned / (2 * math.pi) - reached
    return off - np.rint(off)


@jit
def excite(
    net: Harmonics, encoder: Encoder, rows: np.ndarray, seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the source `(T, 2 number + V)` and the lag `(T,)` of F frames.

    Arguments:
        net: Harmonics and voices.
        encoder: Which made the rows.
        rows: `(F, D)`.
        seen: From `encode`: the last `look_ahead` frames lie after these F.
    """
    frames, hop = rows.shape[0], encoder.hop
    first, f0, at = seen.shape[0] - frames - encoder.look_ahead, encoder.f0, encoder.phase
    waves, voices = 2 * net.number, net.loudness.shape[1]
    width = waves + voices
    source, lag = np.empty((frames * hop, width), np.float32), np.zeros(frames * hop, np.float32)
    own = np.empty((width, hop), np.float32)
    one, two = np.float32(1), np.float32(2)
    share = np.arange(hop).astype(np.float32) / np.float32(hop)
    turning = np.empty((2, hop), np.float32)
    weights = np.empty((frames, net.mixing.shape[1]), np.float32)
    weights[:] = net.mixing_bias
    loud = np.empty((frames, voices), np.float32)
    loud[:] = net.loudness_bias
    if voices:
        times(rows, net.mixing, weights, True)
        times(rows, net.loudness, loud, True)
    for f in range(frames):
        n = first + f
        here = (np.float32(math.exp(seen[n, f0])) / np.float32(encoder.rate), seen[n, f0 + 1])
        start, end, off = here[0], here[0], np.float32(0)
        if encoder.look_ahead:
            before = (np.float32(math.exp(seen[n - 1, f0]) / encoder.rate), seen[n - 1, f0 + 1])
            after = (np.float32(math.exp(seen[n + 1, f0]) / encoder.rate), seen[n + 1, f0 + 1])
            start, end, on = line(before, here, after, encoder.centered, encoder.leap)
            if on:
                off = apart(seen[n, at : at + 2], seen[n + 1, at : at + 2], hop * (start + end) / 2)
        bend, off = np.float32((end - start) / (2 * hop)), np.float32(off)
        start = np.float32(start)
        cosine, sine = seen[n, at], seen[n, at + 1]
        for i in range(hop):
            s = share[i]
            turns = (start + bend * np.float32(i)) * np.float32(i) + off * s * s * (3 - two * s)
            angle = np.float32(2 * math.pi) * np.float32(turns)
            c, d = math.cos(angle), math.sin(angle)
            turning[0, i], turning[1, i] = cosine * c - sine * d, cosine * d + sine * c
        own[0], own[1] = turning[0], turning[1]
        for h in range(1, net.number):
            for i in range(hop):
                a, b = own[2 * h - 2, i], own[2 * h - 1, i]
                own[2 * h, i] = a * turning[0, i] - b * turning[1, i]
                own[2 * h + 1, i] = a * turning[1, i] + b * turning[0, i]
        for h in range(net.number):
            if not (h + 1) * max(start, np.float32(end)) < 0.5:
                own[2 * h : 2 * h + 2] = 0
        if voices:
            times(weights[f].reshape(voices, waves), own[:waves], own[waves:], False)
            for v in range(voices):
                gain = math.exp(net.loudest * math.tanh(loud[f, v] / net.loudest))
                for i in range(hop):
                    own[waves + v, i] *= gain
        for i in range(hop):
            for c in range(width):
                source[f * hop + i, c] = own[c, i]
        if here[1] > 0:
            for i in range(hop):
                lag[f * hop + i] = one / (start + share[i] * (np.float32(end) - start))
    return source, lag
