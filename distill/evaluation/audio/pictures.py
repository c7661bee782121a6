"""Spectrograms side by side, with the pitch drawn into them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from distill.evaluation.audio.pitch import Track
from distill.evaluation.audio.spectra import finite

_RANGE_DB = 70.0
_WINDOW_SECONDS = 0.032


def spectrograms_figure(
    sounds: Mapping[str, Tensor],
    rate: int,
    tracks: Mapping[str, Track] | None = None,
    hop: int = 1,
    title: str = "",
) -> Figure:
    """Draw the spectrograms of sounds `(T,)` below each other, on one scale of levels.

    Arguments:
        sounds: By name, the reference first: its loudest point is 0 dB.
        rate: Sites per second.
        tracks: The pitch of some of them.
        hop: Sites per frame of the tracks.
        title: Of the whole.
    """
    figure = Figure(figsize=(9, 2.1 * len(sounds) + 0.4), layout="constrained")
    axes = figure.subplots(len(sounds), 1, sharex=True, squeeze=False)[:, 0]
    peak: float | None = None
    for axis, (name, sound) in zip(axes, sounds.items(), strict=True):
        level, step = _level(sound, rate)
        peak = float(level.max()) if peak is None else peak
        extent = (0.0, level.shape[1] * step / rate, 0.0, rate / 2000)
        image = axis.imshow(
            level - peak,
            origin="lower",
            aspect="auto",
            extent=extent,
            cmap="magma",
            vmin=-_RANGE_DB,
            vmax=0,
            interpolation="nearest",
        )
        found = (tracks or {}).get(name)
        if found is not None:
            seconds = (np.arange(len(found.f0)) + 0.5) * hop / rate
            kilohertz = np.where(found.voiced, found.f0, np.nan) / 1000
            axis.plot(seconds, kilohertz, color="#40e0d0", lw=1.4)
        axis.set_ylabel("kHz")
        axis.set_title(name, fontsize=9, loc="left")
    axes[-1].set_xlabel("s")
    figure.colorbar(image, ax=list(axes), label="dB", shrink=0.6)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _level(sound: Tensor, rate: int) -> tuple[np.ndarray, int]:
    """Return the spectrogram in dB `(bins, frames)`, and sites per frame."""
    import librosa

    window = max(32, round(_WINDOW_SECONDS * rate))
    step = max(1, window // 8)
    x = finite(sound).numpy()
    x = np.pad(x, (0, max(0, window - len(x))))
    bins = np.abs(librosa.stft(x, n_fft=2 * window, win_length=window, hop_length=step))
    return 20 * np.log10(np.maximum(bins, 1e-6)), step
