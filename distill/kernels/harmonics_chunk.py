"""Harmonics, voices and lags of a chunk's sites, as one compiled function.

The plain twin is `HarmonicEncoder`. Importing this file imports numba.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from distill.kernels.frames_chunk import Encoder, line
from distill.kernels.harmonics import Frames, source_forward
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
    frames, hop, f32 = rows.shape[0], encoder.hop, np.float32
    first, f0, at = seen.shape[0] - frames - encoder.look_ahead, encoder.f0, encoder.phase
    voices, waves = net.loudness.shape[1], 2 * net.number
    gain, weights = np.empty((frames, voices), f32), np.empty((frames, voices * waves), f32)
    if voices:
        gain[:] = net.loudness_bias
        weights[:] = net.mixing_bias
        times(rows, net.loudness, gain, True)
        times(rows, net.mixing, weights, True)
    for f in range(frames):
        for v in range(voices):
            gain[f, v] = math.exp(net.loudest * math.tanh(gain[f, v] / net.loudest))
    line_of = np.zeros((3, 1, frames), f32)
    lag = np.zeros(frames * hop, f32)
    for f in range(frames):
        n = first + f
        own = (f32(math.exp(seen[n, f0])) / f32(encoder.rate), seen[n, f0 + 1])
        start, end, off = own[0], own[0], f32(0)
        if encoder.look_ahead:
            before = (f32(math.exp(seen[n - 1, f0]) / encoder.rate), seen[n - 1, f0 + 1])
            after = (f32(math.exp(seen[n + 1, f0]) / encoder.rate), seen[n + 1, f0 + 1])
            start, end, on = line(before, own, after, encoder.centered, encoder.leap)
            if on:
                off = apart(seen[n, at : at + 2], seen[n + 1, at : at + 2], hop * (start + end) / 2)
        start, end = f32(start), f32(end)
        line_of[0, 0, f], line_of[1, 0, f], line_of[2, 0, f] = start, end, off
        if own[1] > 0:
            for i in range(hop):
                lag[f * hop + i] = f32(1) / (start + f32(i) / f32(hop) * (end - start))
    turning = Frames(
        line_of[0], line_of[1], line_of[2], seen[first : first + frames, at : at + 2].copy()[None]
    )
    source = np.empty((1, frames, hop, waves + voices), f32)
    source_forward(
        turning, weights.reshape(1, frames, voices, waves), gain.reshape(1, frames, voices), source
    )
    return source.reshape(frames * hop, waves + voices), lag
