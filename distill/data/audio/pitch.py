"""Fundamental frequency and voicing, frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import librosa
import numpy as np
import torch
from torch import Tensor

from distill.data.audio.mel import LogMel


@dataclass(frozen=True)
class Pitch:
    """Probabilistic YIN (`librosa.pyin`) on the frames of a mel, so that both stand side by side.

    It takes about a quarter of the audio's duration on one core; a coarser resolution takes less.

    Arguments:
        low: Lowest frequency, Hz.
        high: Highest frequency, Hz.
        resolution: Of the frequency grid, semitones.

    Errors:
        ValueError: A range without sense; a waveform with another shape than `(T,)`.

    Source: Mauch and Dixon, pYIN, 2014.

    Example:
        >>> wave = torch.sin(2 * torch.pi * 200 * torch.arange(4000) / 8000)
        >>> hertz = Pitch()(wave, rate=8000, mel=LogMel(fft=512, window=512, hop=80, high=None))
        >>> hertz.shape, round(float(hertz.median()))
        (torch.Size([50]), 200)
    """

    low: float = 65.0
    high: float = 600.0
    resolution: float = 0.1

    def __post_init__(self) -> None:
        """Check the range."""
        if not (0 < self.low < self.high and 0 < self.resolution < 1):
            raise ValueError(
                "Pitch: wanted 0 < low < high and a resolution between 0 and 1 semitone, got "
                f"low={self.low}, high={self.high}, resolution={self.resolution}."
            )

    @property
    def neutral(self) -> float:
        """Log-frequency that stands where nothing is voiced: the middle of the range."""
        return math.log(self.low * self.high) / 2

    def __call__(self, x: Tensor, rate: int, mel: LogMel) -> Tensor:
        """Estimate the frequency of each frame of a waveform `(T,)`.

        Arguments:
            x: Waveform.
            rate: Sample rate, Hz.
            mel: Whose frames, for their hop and alignment.

        Returns:
            Hz `(F,)`, 0 where it is not voiced.
        """
        if x.dim() != 1 or not len(x):
            raise ValueError(f"Pitch: wanted a waveform (T,) with T > 0, got {tuple(x.shape)}.")
        if self.high >= rate / 2:
            raise ValueError(
                f"Pitch: wanted high below {rate / 2:g} Hz, half the sample rate, got {self.high}."
            )
        # Four periods of the lowest frequency, as librosa recommends.
        size = 2 ** math.ceil(math.log2(4 * rate / self.low))
        frames = mel.frames(len(x))
        left = size // 2 if mel.align == "start" else (size - mel.hop) // 2
        right = (frames - 1) * mel.hop + size - left - len(x)
        padded = np.pad(x.detach().double().cpu().numpy(), (left, right))
        hertz, voiced, _ = librosa.pyin(
            padded,
            fmin=self.low,
            fmax=self.high,
            sr=rate,
            frame_length=size,
            hop_length=mel.hop,
            resolution=self.resolution,
            center=False,
        )
        return torch.from_numpy(np.where(voiced, hertz, 0.0)).float()

    def contour(self, hertz: Tensor) -> Tensor:
        """Turn frequencies `(F,)`, 0 where unvoiced, into the feature `(F, 2)`.

        Channel 0 is the log-frequency, drawn as a line between voiced frames and held beyond the
        first and the last; channel 1 is 1 where it is voiced, else 0.

        Example:
            >>> Pitch().contour(torch.tensor([0.0, 100.0, 0.0, 100.0])).exp()[:, 0].round().tolist()
            [100.0, 100.0, 100.0, 100.0]
        """
        known = (hertz > 0).numpy()
        line = np.full(len(known), self.neutral)
        if known.any():
            at = np.flatnonzero(known)
            line = np.interp(np.arange(len(known)), at, hertz.double().log().numpy()[at])
        return torch.from_numpy(np.stack([line, known], 1)).float()

    def silence(self) -> Tensor:
        """Return the feature of a frame of silence, `(2,)`."""
        return torch.tensor([self.neutral, 0.0])
