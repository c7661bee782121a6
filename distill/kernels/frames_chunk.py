"""Frames of features to the rows of a context, chunk by chunk, as one compiled function.

F0 and phase are put in where they are missing, as `distill.networks.missing` does, and convolutions
follow. The plain twin is `FrameEncoder.run`. Importing this file imports numba.
"""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from distill.kernels.jit import SUMS, jit
from distill.kernels.tiles import times

BEGUN, PAST, TURNS, SUMMED = 0, 1, 5, 6
"""Places in the sums that a chunk hands on: whether it began, step and voicing of the last two
frames, turns of the last one; and how many numbers these are."""
# NaN says that a number is missing: nothing here may take it for impossible.
_exact = partial(jit, fastmath=SUMS)


class Convolutions(NamedTuple):
    """Convolutions over frames, a leaky rectifier behind each.

    Arguments:
        sizes: `(n, 3)`: frames seen k, inputs C, outputs C'.
        weights: Of each `(k C, C')` and its bias `(C',)`, one behind the other.
        slope: Of the rectifier below zero.
    """

    sizes: np.ndarray
    weights: np.ndarray
    slope: float


class Pitch(NamedTuple):
    """What `MissingPitch` computes with; of no inputs where F0 is always given.

    Arguments:
        inputs: Columns of the frames that it reads.
        loc: Of these.
        scale: Likewise.
        layers: The estimator's.
        last: `(C, n)`: logits of the bins, then that of voicing, then zeros.
        bias: `(n,)`.
        centers: Of the bins.
        beside: Frames that the state holds.
        ahead: Frames that it sees after its own.
        width: Bins counted on both sides of the highest.
    """

    inputs: np.ndarray
    loc: np.ndarray
    scale: np.ndarray
    layers: Convolutions
    last: np.ndarray
    bias: np.ndarray
    centers: np.ndarray
    beside: int
    ahead: int
    width: int


class Encoder(NamedTuple):
    """A `FrameEncoder` that holds each row for a frame.

    Arguments:
        pitch: What estimates F0.
        adds_phase: Whether phases may be missing.
        f0: First column of F0, -1 without it.
        phase: First column of the phase, likewise.
        settled: Whether log-F0 is put to its mean where nothing is voiced.
        loc: Of all columns.
        scale: Likewise.
        stages: Its convolutions.
        look_ahead: Frames.
        reach: Frames that the state holds.
        rate: Sites per second.
        hop: Sites per frame.
        centered: Whether features are those of a frame's middle.
        leap: Largest ratio of two frequencies that a line joins.
    """

    pitch: Pitch
    adds_phase: bool
    f0: int
    phase: int
    settled: bool
    loc: np.ndarray
    scale: np.ndarray
    stages: Convolutions
    look_ahead: int
    reach: int
    rate: float
    hop: int
    centered: bool
    leap: float


@_exact
def convolve(x: np.ndarray, net: Convolutions) -> np.ndarray:
    """Return `(n, C')` of `(reach + n, C)`."""
    place, slope = 0, np.float32(net.slope)
    for i in range(net.sizes.shape[0]):
        kernel, inputs, outputs = net.sizes[i]
        bias = place + kernel * inputs * outputs
        weights = net.weights[place:bias].reshape(kernel * inputs, outputs)
        count = x.shape[0] - kernel + 1
        y = np.empty((count, outputs), np.float32)
        y[:] = net.weights[bias : bias + outputs]
        for k in range(kernel):
            times(x[k : k + count], weights[k * inputs : (k + 1) * inputs], y, True)
        for n in range(count):
            for c in range(outputs):
                y[n, c] = max(y[n, c], slope * y[n, c])
        x, place = y, bias + outputs
    return x


@_exact
def joined(one: tuple, other: tuple, leap: float) -> bool:
    """Whether a line joins two frames, each a frequency and whether it is voiced."""
    near = one[0] <= leap * other[0] and other[0] <= leap * one[0]
    return bool(one[1] > 0 and other[1] > 0 and near)


@_exact
def line(before: tuple, own: tuple, after: tuple, centered: bool, leap: float) -> tuple:
    """Return the frequency at a frame's start and end, and whether it glides on.

    The plain twin is `distill.networks.pitch_contour.pitch_contour`.
    """
    start = end = own[0]
    if centered and joined(before, own, leap):
        start = (before[0] + own[0]) / 2
    goes_on = joined(own, after, leap)
    if goes_on:
        end = (own[0] + after[0]) / 2 if centered else after[0]
    return start, end, goes_on


@_exact
def fill_pitch(seen: np.ndarray, net: Pitch, f0: int) -> np.ndarray:
    """Return the frames of which `seen` holds all that is beside them, F0 put in.

    Arguments:
        seen: `(beside + F, size)`.
        net: The estimator.
        f0: First column of F0.
    """
    count, bins = seen.shape[0] - net.beside, len(net.centers)
    low = net.beside - net.ahead
    filled = seen[low : low + count].copy()
    if not np.isnan(filled[:, f0 : f0 + 2]).any():
        return filled
    x = np.empty((seen.shape[0], len(net.inputs)), np.float32)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            x[n, c] = (seen[n, net.inputs[c]] - net.loc[c]) / net.scale[c]
    logits = np.empty((count, len(net.bias)), np.float32)
    logits[:] = net.bias
    times(convolve(x, net.layers), net.last, logits, True)
    for n in range(count):
        peak, total, mean = 0, np.float32(0), np.float32(0)
        for c in range(bins):
            if logits[n, c] > logits[n, peak]:
                peak = c
        for c in range(max(0, peak - net.width), min(bins, peak + net.width + 1)):
            weight = math.exp(logits[n, c] - logits[n, peak])
            total += weight
            mean += weight * net.centers[c]
        if np.isnan(filled[n, f0]):
            filled[n, f0] = mean / total
        if np.isnan(filled[n, f0 + 1]):
            filled[n, f0 + 1] = 1 if logits[n, bins] > 0 else 0
    return filled


@_exact
def fill_phase(frames: np.ndarray, net: Encoder, sums: np.ndarray) -> None:
    """Put in phases in place, and carry the sums on."""
    f0, at = net.f0, net.phase
    before = (sums[PAST], sums[PAST + 1])
    own = (sums[PAST + 2], sums[PAST + 3])
    reached, off, turns = sums[TURNS], 0.0, sums[TURNS]
    for n in range(frames.shape[0]):
        voiced = 1.0 if frames[n, f0 + 1] > 0 else 0.0
        after = (math.exp(np.float64(frames[n, f0])) / net.rate, voiced)
        start, end, _ = line(before, own, after, net.centered, net.leap)
        before, own = own, after
        reached += net.hop * (start + end) / 2
        c, s = frames[n, at], frames[n, at + 1]
        if c * c + s * s > 0:
            off = math.atan2(s, c) / (2 * math.pi) - reached
        turns = reached + off
        turns -= math.floor(turns)
        if np.isnan(c):
            frames[n, at] = math.cos(2 * math.pi * turns) * voiced
        if np.isnan(s):
            frames[n, at + 1] = math.sin(2 * math.pi * turns) * voiced
    sums[PAST], sums[PAST + 1], sums[PAST + 2], sums[PAST + 3] = *before, *own
    sums[TURNS] = turns


@_exact
def begin(net: Encoder, lead: np.ndarray, past: np.ndarray, sums: np.ndarray) -> None:
    """Write the state before frame 0, given the frames of look-ahead, and one at least."""
    beside = net.pitch.beside
    for n in range(beside):
        past[n] = lead[max(0, n - (beside - net.pitch.ahead))]
    first = lead[:1]
    if net.look_ahead:
        first = lead
        if beside:
            own = np.concatenate((past[:beside], lead[net.pitch.ahead :]))
            past[:beside] = own[-beside:]
            first = fill_pitch(own, net.pitch, net.f0)
        if net.adds_phase:
            first = first.copy()
            fill_phase(first, net, sums)
    for n in range(net.reach):
        past[beside + n] = first[max(0, n - (net.reach - net.look_ahead))]


@_exact
def encode(
    net: Encoder, frames: np.ndarray, beside: np.ndarray, past: np.ndarray, sums: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Encode F frames more.

    Arguments:
        net: The encoder.
        frames: `(F, size)`, NaN where F0 or a phase is missing.
        beside: What labels and vectors give, the end of every row.
        past: The frames that the state holds, those of the estimate first; replaced by the next.
        sums: The state's numbers, likewise.

    Returns:
        Rows `(F, D)`, and all filled frames that they were made of, `(reach + F, size)`.
    """
    count, held = frames.shape[0], net.pitch.beside
    if held:
        own = np.concatenate((past[:held], frames))
        past[:held] = own[count:]
        frames = fill_pitch(own, net.pitch, net.f0)
    if net.adds_phase:
        if not held:
            frames = frames.copy()
        fill_phase(frames, net, sums)
    seen = np.concatenate((past[held:], frames))
    past[held:] = seen[count:]
    x = np.empty_like(seen)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            x[n, c] = (seen[n, c] - net.loc[c]) / net.scale[c]
        if net.settled and not seen[n, net.f0 + 1] > 0:
            x[n, net.f0] = 0
    x = convolve(x, net.stages)
    rows = np.empty((count, x.shape[1] + len(beside)), np.float32)
    rows[:, : x.shape[1]] = x[-count:]
    rows[:, x.shape[1] :] = beside
    return rows, seen
