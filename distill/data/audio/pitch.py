"""Fundamental frequency and voicing, frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from distill.contract import DataSpec
from distill.data.audio.mel import LogMel
from distill.data.audio.pitch_refinement import refine
from distill.kernels.numba_cache import first_alone
from distill.networks.pitch_contour import pitch_contour

_BESIDE = 0.1  # s


@dataclass(frozen=True)
class Pitch:
    """Probabilistic YIN (`librosa.pyin`) on the frames of a mel, so that both stand side by side.

    It takes about a quarter of the audio's duration on one core or more; a coarser resolution takes
    less. A call gives the tracker's own grid, one frequency for all of a frame; `refined` moves it
    to where the harmonics are, and phases follow a line between the frames of a voiced run.

    Arguments:
        low: Lowest frequency, Hz.
        high: Highest frequency, Hz.
        resolution: Of the frequency grid, semitones.
        refine: Share of a frequency within which `refined` looks for a better one, 0 for none.

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
    refine: float = 0.03

    def __post_init__(self) -> None:
        """Check the range."""
        if not (0 < self.low < self.high and 0 < self.resolution < 1):
            raise ValueError(
                "Pitch: wanted 0 < low < high and a resolution between 0 and 1 semitone, got "
                f"low={self.low}, high={self.high}, resolution={self.resolution}."
            )
        if not 0 <= self.refine < 0.1:
            raise ValueError(
                f"Pitch: wanted refine, a share from 0 to 0.1, got {self.refine}. 0.03 does."
            )

    @classmethod
    def of(cls, spec: DataSpec) -> Pitch:
        """Return the settings that a spec carries, or the defaults."""
        return cls(**spec.settings.get("pitch", {}))

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
        with first_alone("pyin", Path(librosa.__file__).parent):
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

    def refined(self, hertz: Tensor, x: Tensor, rate: int, mel: LogMel) -> Tensor:
        """Move the frequencies of a call to where the harmonics of the waveform are strongest.

        Arguments:
            hertz: What the call returned, `(F,)`.
            x: Waveform `(T,)`.
            rate: Sample rate, Hz.
            mel: Whose frames.

        Returns:
            Hz `(F,)`, 0 where it is not voiced.
        """
        return refine(hertz, x, rate, mel.centers(len(hertz)), self.refine)

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

    def phase(self, contour: Tensor, x: Tensor, rate: int, mel: LogMel) -> Tensor:
        r"""Measure the phase of the fundamental of a waveform at the start of each frame.

        The waveform is turned back by the phase that its frequency adds up to, and what is left is
        averaged over 100 ms to either side, within a voiced run:
        $\arg \sum_t w(t - fH)\,x(t)\,e^{-2\pi i\Phi(t)}$. The fundamental turns against the other
        harmonics when formants move: a phase from shorter windows would follow it closely, and
        shift harmonic h by h times as much.

        Arguments:
            contour: From `contour`, `(F, 2)`.
            x: Waveform `(T,)`.
            rate: Sample rate, Hz.
            mel: Whose frames.

        Returns:
            Cosine and sine `(F, 2)`, both 0 where it is not voiced.

        Example:
            >>> wave = torch.cos(2 * torch.pi * 200 * torch.arange(800) / 8000)
            >>> contour = Pitch().contour(torch.full((10,), 200.0))
            >>> Pitch().phase(contour, wave, 8000, LogMel(hop=80)).round(decimals=1)[5].tolist()
            [1.0, 0.0]
        """
        starts, turns = _turns(contour, rate, mel)
        x = F.pad(x.double(), (0, len(turns) - len(x)))
        half = round(_BESIDE * rate)
        window = torch.hann_window(2 * half + 1, periodic=False, dtype=torch.float64)
        left = torch.view_as_real(torch.polar(x, -2 * math.pi * turns)).T[:, None]
        offset = torch.zeros_like(starts)
        for first, after in _runs(contour[:, 1] > 0):
            run = F.pad(left[..., first * mel.hop : after * mel.hop], (half, half))
            real, imag = F.conv1d(run, window[None, None], stride=mel.hop)[:, 0, : after - first]
            offset[first:after] = torch.atan2(imag, real)
        return _circle(starts + offset / (2 * math.pi), contour)

    def integrate(self, contour: Tensor, rate: int, mel: LogMel) -> Tensor:
        r"""Return the phase that a contour adds up to from 0, where there is no waveform.

        The frequency runs along the line of `distill.networks.pitch_contour`, straight within a
        frame from
        $b_f$ to $e_f$: $\Phi_{f+1} = \Phi_f + H (b_f + e_f) / 2r$.

        Arguments:
            contour: From `contour`, `(F, 2)`.
            rate: Sample rate, Hz.
            mel: Whose frames.

        Returns:
            As `phase` does.
        """
        return _circle(_turns(contour, rate, mel)[0], contour)

    def silence(self) -> Tensor:
        """Return the feature of a frame of silence, `(2,)`."""
        return torch.tensor([self.neutral, 0.0])


def _runs(voiced: Tensor) -> list[tuple[int, int]]:
    """Return the first frame of each run of voiced ones, and the frame after its last."""
    edges = F.pad(voiced.int(), (1, 1)).diff()
    pairs = zip((edges > 0).nonzero(), (edges < 0).nonzero(), strict=True)
    return [(int(first), int(after)) for first, after in pairs]


def _turns(contour: Tensor, rate: int, mel: LogMel) -> tuple[Tensor, Tensor]:
    """Return the turns since the beginning at each start `(F,)` and each site `(F hop,)`."""
    step = F.pad(contour[:, 0].double().exp() / rate, (1, 1))
    line = pitch_contour(step, F.pad(contour[:, 1] > 0, (1, 1)), centered=mel.align == "middle")
    turns = line.turns(mel.hop)
    starts = torch.cumsum(turns, 0) - turns
    sites = torch.arange(mel.hop, dtype=torch.float64)
    return starts, (starts[:, None] + line.within(sites, mel.hop)).flatten()


def _circle(turns: Tensor, contour: Tensor) -> Tensor:
    angle = 2 * math.pi * turns
    return (torch.stack([angle.cos(), angle.sin()], 1) * contour[:, 1:]).float()
