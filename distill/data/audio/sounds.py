"""Synthetic sounds whose fundamental frequency is known at every site."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_AUDIBLE = 0.05


class Sound(NamedTuple):
    """A waveform `(T,)` and its frequency `(T,)` in Hz, 0 where nothing has a pitch."""

    wave: np.ndarray
    hertz: np.ndarray


def tone(
    rng: np.random.Generator, sites: int, rate: int, low: float = 100.0, high: float = 400.0
) -> Sound:
    """Make a harmonic tone whose pitch glides from one note to another, with a fade at each end.

    Arguments:
        rng: Draws notes, timbre and times.
        sites: Its length.
        rate: Sample rate, Hz.
        low: Lowest note, Hz.
        high: Highest note, Hz.
    """
    ends = np.exp(rng.uniform(np.log(low), np.log(high), 2))
    ends[1] = np.clip(ends[1], ends[0] / 1.5, ends[0] * 1.5)
    position = np.arange(sites) / sites
    glide = position**2 * (3 - 2 * position)
    hertz = ends[0] * (ends[1] / ends[0]) ** glide
    envelope = _envelope(rng, sites, rate, fade=0.03)
    order = np.arange(1, _harmonics(ends.max(), rate) + 1)
    strength = order ** -rng.uniform(0.8, 1.6) * rng.uniform(0.3, 1.0, len(order))
    wave = envelope * _sum(rng, hertz, rate, order, strength[:, None])
    return Sound(wave, np.where(envelope > _AUDIBLE, hertz, 0.0))


def pluck(
    rng: np.random.Generator, sites: int, rate: int, low: float = 100.0, high: float = 400.0
) -> Sound:
    """Make a plucked string: modes that start at once and decay, the higher the faster.

    Arguments:
        rng: Draws note, place of the pluck, decay and time.
        sites: Its length.
        rate: Sample rate, Hz.
        low: Lowest note, Hz.
        high: Highest note, Hz.
    """
    note = np.exp(rng.uniform(np.log(low), np.log(high)))
    onset = int(rng.uniform(0.02, 0.1) * sites)
    seconds = np.arange(sites - onset) / rate
    order = np.arange(1, _harmonics(note, rate) + 1)
    place, slow, fast = rng.uniform(0.1, 0.4), rng.uniform(1.0, 3.0), rng.uniform(0.2, 0.6)
    strength = np.abs(np.sin(np.pi * place * order)) / order
    decay = np.exp(-(slow + fast * order[:, None]) * seconds)
    attack = np.minimum(seconds / 0.002, 1)
    hertz = np.full(sites - onset, note)
    wave = np.zeros(sites)
    wave[onset:] = attack * _sum(rng, hertz, rate, order, strength[:, None] * decay)
    known = np.zeros(sites)
    known[onset:] = np.where(decay[0] > _AUDIBLE, note, 0.0)
    return Sound(wave, known)


def burst(rng: np.random.Generator, sites: int, rate: int) -> Sound:
    """Make noise of one band, in one or two bursts; it has no pitch.

    Arguments:
        rng: Draws noise, band and times.
        sites: Its length.
        rate: Sample rate, Hz.
    """
    wave = np.zeros(sites)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(sites, 1 / rate), 1.0))
    for _ in range(rng.integers(1, 3)):
        center, width = rng.uniform(np.log2(300), np.log2(0.4 * rate)), rng.uniform(0.3, 1.0)
        shape = np.exp(-0.5 * ((octaves - center) / width) ** 2)
        noise = np.fft.irfft(np.fft.rfft(rng.normal(size=sites)) * shape, sites)
        length = int(rng.uniform(0.15, 0.5) * sites)
        start = rng.integers(0, sites - length)
        wave[start : start + length] += (noise / noise.std())[:length] * np.hanning(length)
    return Sound(wave, np.zeros(sites))


def _harmonics(highest: float, rate: int) -> int:
    return max(1, int(0.45 * rate / highest))


def _sum(
    rng: np.random.Generator, hertz: np.ndarray, rate: int, order: np.ndarray, strength: np.ndarray
) -> np.ndarray:
    # Harmonics in step, as those of a voice or a string are.
    phase = 2 * np.pi * (np.cumsum(hertz) / rate + rng.uniform())
    return (strength * np.sin(order[:, None] * phase)).sum(0)


def _envelope(rng: np.random.Generator, sites: int, rate: int, fade: float) -> np.ndarray:
    start, stop = rng.uniform(0.0, 0.1) * sites, rng.uniform(0.9, 1.0) * sites
    at = np.arange(sites)
    edge = min(fade * rate, sites / 4)
    ramp = np.clip(np.minimum(at - start, stop - at) / edge, 0, 1)
    return np.sin(np.pi / 2 * ramp) ** 2
