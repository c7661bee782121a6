"""Harmonics and voices of frames, forward and backward, in compiled loops.

The plain twin is `HarmonicEncoder.source_by_operations`. Importing this file imports numba.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from distill.kernels.jit import jit
from distill.kernels.tiles import times


class Frames(NamedTuple):
    """What turns in F frames of B values; frequencies in turns per site.

    Arguments:
        start: Frequency at a frame's start, `(B, F)`.
        end: At its end, likewise.
        apart: Turns by which the next frame's phase differs from where that line arrives, likewise.
        phase: Cosine and sine at a frame's start, `(B, F, 2)`.
    """

    start: np.ndarray
    end: np.ndarray
    apart: np.ndarray
    phase: np.ndarray


@jit
def turn(frames: Frames, b: int, f: int, waves: np.ndarray) -> None:
    """Write the waves `(2 H, hop)` of one frame: powers of the turning phase, 0 where inaudible."""
    count, hop, one = waves.shape[0] // 2, waves.shape[1], waves.dtype.type
    start, end, off = frames.start[b, f], frames.end[b, f], frames.apart[b, f]
    cosine, sine = frames.phase[b, f, 0], frames.phase[b, f, 1]
    bend, top = (end - start) / one(2 * hop), max(start, end)
    for i in range(hop):
        site = one(i)
        share = site / one(hop)
        turns = (start + bend * site) * site + off * share * share * (one(3) - one(2) * share)
        angle = one(2 * math.pi) * turns
        c, s = math.cos(angle), math.sin(angle)
        waves[0, i], waves[1, i] = cosine * c - sine * s, cosine * s + sine * c
    for h in range(1, count):
        for i in range(hop):
            a, b_, c, s = waves[2 * h - 2, i], waves[2 * h - 1, i], waves[0, i], waves[1, i]
            waves[2 * h, i], waves[2 * h + 1, i] = a * c - b_ * s, a * s + b_ * c
    for h in range(count):
        if not one(h + 1) * top < one(0.5):
            waves[2 * h : 2 * h + 2] = 0


@jit
def source_forward(
    frames: Frames, weights: np.ndarray, gain: np.ndarray, source: np.ndarray
) -> None:
    """Write waves and voices, site after site.

    Arguments:
        frames: What turns.
        weights: Of the waves in each voice, `(B, R, V, 2 H)`, R a multiple of F.
        gain: Of each voice, `(B, R, V)`.
        source: `(B, F, hop, 2 H + V)`, written.
    """
    batch, count, hop, width = source.shape
    each, voices = weights.shape[1] // count, gain.shape[2]
    length, waves = hop // each, width - voices
    own = np.empty((width, hop), source.dtype)
    part, made = np.empty((waves, length), source.dtype), np.empty((voices, length), source.dtype)
    for b in range(batch):
        for f in range(count):
            turn(frames, b, f, own[:waves])
            for k in range(each if voices else 0):
                row, sites = f * each + k, slice(k * length, (k + 1) * length)
                part[:] = own[:waves, sites]
                times(weights[b, row], part, made, False)
                for v in range(voices):
                    for i in range(length):
                        own[waves + v, k * length + i] = made[v, i] * gain[b, row, v]
            for i in range(hop):
                for c in range(width):
                    source[b, f, i, c] = own[c, i]


@jit
def source_backward(
    grad: np.ndarray, source: np.ndarray, gain: np.ndarray, dweights: np.ndarray, dgain: np.ndarray
) -> None:
    """Write the gradients of weights and gains.

    Arguments:
        grad: Of the source, `(B, F, hop, 2 H + V)`.
        source: As `source_forward` wrote it.
        gain: `(B, R, V)`.
        dweights: `(B, R, V, 2 H)`.
        dgain: `(B, R, V)`.
    """
    batch, count, hop, width = source.shape
    each, voices, waves = gain.shape[1] // count, gain.shape[2], width - gain.shape[2]
    length = hop // each
    for b in range(batch):
        for row in range(count * each):
            f, first = row // each, (row % each) * length
            for v in range(voices):
                scale, total = gain[b, row, v], grad.dtype.type(0)
                own = dweights[b, row, v]
                own[:] = 0
                for i in range(first, first + length):
                    g = grad[b, f, i, waves + v]
                    total += g * source[b, f, i, waves + v]
                    g *= scale
                    for c in range(waves):
                        own[c] += g * source[b, f, i, c]
                dgain[b, row, v] = total / scale
