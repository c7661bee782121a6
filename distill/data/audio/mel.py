"""Log-mel spectrograms, with the settings of text-to-speech front ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import librosa
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from distill.contract import DataSpec

_ALIGNS = ("middle", "start")
_LOGS = ("natural", "log10", "decibel")


@dataclass(frozen=True)
class LogMel:
    r"""Log-mel spectrogram: waveforms `(B, T)` to `(B, F, bands)` with F = T / hop, rounded up.

    $$m_{f,b} = \ln \max\Big(\epsilon, \sum_k M_{bk} \lvert\mathrm{STFT}(x)_{f,k}\rvert^p\Big)$$

    T is first filled up with zeros to a multiple of the hop. Frame f belongs to the sites from
    `f * hop` up to `(f + 1) * hop`, and its window is centered in their `middle` (HiFi-GAN), or at
    their `start` (Tacotron 2, librosa's `center=True` without its last frame). Both ends are
    reflected, or filled with zeros where the waveform is shorter than half a window. The numbers
    are not standardized: the feature's spec carries each band's location and scale. It is
    differentiable, and runs where its input lies.

    Arguments:
        bands: Mel bands.
        fft: Points of the Fourier transform.
        window: Points of the Hann window, centered in the transform.
        hop: Sites per frame.
        low: Lower edge of the lowest band, Hz.
        high: Upper edge of the highest band, Hz; half the sample rate by default.
        htk: Mel scale of HTK in place of Slaney's.
        normalize: Give each band's filter unit area, as Slaney does.
        power: p: 1 for magnitudes, 2 for energies.
        align: `middle` or `start`.
        log: `natural`, `log10`, or `decibel`: 20 log10, less `reference`, with the `span` below 0
            mapped to 0 to 1 and clipped (the first Tacotron).
        floor: Smallest value that the logarithm sees.
        preemphasis: a of the filter x_t - a x_{t-1} before everything; 0 for none.
        reference: Level of 1, dB (`decibel` only).
        span: Levels from 0 to 1, dB (`decibel` only).

    Errors:
        ValueError: Settings without sense, a band above half the sample rate, a band too narrow
            for the transform; a waveform of another shape.

    Source: Kong et al., HiFi-GAN, 2020, arXiv 2010.05646; Shen et al., Tacotron 2, 2017,
    arXiv 1712.05884.

    Example:
        >>> mel = LogMel(bands=20, fft=256, window=256, hop=64, high=None)
        >>> mel(torch.randn(2, 640), rate=8000).shape
        torch.Size([2, 10, 20])
    """

    bands: int = 80
    fft: int = 1024
    window: int = 1024
    hop: int = 256
    low: float = 0.0
    high: float | None = 8000.0
    htk: bool = False
    normalize: bool = True
    power: float = 1.0
    align: str = "middle"
    log: str = "natural"
    floor: float = 1e-5
    preemphasis: float = 0.0
    reference: float = 20.0
    span: float = 100.0

    def __post_init__(self) -> None:
        """Check the settings."""
        if not (self.bands > 0 and 0 < self.hop <= self.fft // 2 and 0 < self.window <= self.fft):
            raise ValueError(
                "LogMel: wanted bands > 0, 0 < hop <= fft / 2 and 0 < window <= fft, got "
                f"bands={self.bands}, hop={self.hop}, fft={self.fft}, window={self.window}."
            )
        for name, known in (("align", _ALIGNS), ("log", _LOGS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"LogMel: wanted {name} among {', '.join(known)}, got {getattr(self, name)!r}."
                )
        if self.floor <= 0 or self.span <= 0 or self.power <= 0:
            raise ValueError(
                "LogMel: wanted floor, span and power above 0, got "
                f"floor={self.floor}, span={self.span}, power={self.power}."
            )

    @classmethod
    def of(cls, spec: DataSpec) -> LogMel:
        """Return the settings that a spec carries.

        Errors:
            ValueError: The spec is not one of audio.
        """
        if "mel" not in spec.settings:
            raise ValueError("LogMel: the spec has no mel settings; wanted one of audio data.")
        return cls(**spec.settings["mel"])

    @classmethod
    def usual(cls, rate: int) -> LogMel:
        """Return the settings to take where nobody says: HiFi-GAN's, or finer ones for low rates.

        Example:
            >>> LogMel.usual(22_050).hop, LogMel.usual(8_000).hop
            (256, 64)
        """
        if rate >= 16_000:
            return cls()
        return cls(bands=64, fft=512, window=400, hop=64, high=None)

    def frames(self, sites: int) -> int:
        """Return the number of frames of a waveform."""
        return math.ceil(sites / self.hop)

    def centers(self, frames: int) -> Tensor:
        """Return the site that each frame's window is centered on, `(F,)`."""
        return torch.arange(frames) * self.hop + (self.hop // 2 if self.align == "middle" else 0)

    def filters(self, rate: int) -> Tensor:
        """Return the filterbank `(bands, fft // 2 + 1)` at a sample rate, float64.

        Errors:
            ValueError: A band above half the rate, or one that covers no point of the transform.
        """
        return _filters(self, rate)

    def peaks(self, rate: int) -> Tensor:
        """Return the frequency that each band is centered on, Hz `(bands,)`, float64."""
        high = rate / 2 if self.high is None else self.high
        edges = librosa.mel_frequencies(self.bands + 2, fmin=self.low, fmax=high, htk=self.htk)
        return torch.from_numpy(edges[1:-1].astype(np.float64))

    def to_natural_log(self) -> tuple[float, float]:
        """Return factor and term that make of a value the natural log of its band."""
        if self.log == "natural":
            return 1.0, 0.0
        if self.log == "log10":
            return math.log(10), 0.0
        per_decibel = math.log(10) / 20
        return per_decibel * self.span, per_decibel * (self.reference - self.span)

    def silence(self, rate: int) -> Tensor:
        """Return the frame of digital silence, `(bands,)`."""
        return self(torch.zeros(1, self.hop), rate)[0, 0]

    def bounds(self, rate: int) -> tuple[float, float]:
        """Return what no value can be below, and none of a sound within full scale above."""
        loudest = (1 + abs(self.preemphasis)) * self.window / 2  # all of the window in one point
        most = float(self.filters(rate).sum(1).max()) * loudest**self.power
        ends = self._log(torch.tensor([self.floor, max(most, self.floor)], dtype=torch.float64))
        return float(ends[0]), float(ends[1])

    def check_scale(self, values: Tensor, rate: int, name: str) -> None:
        """Raise where a mel, on average or for a fifth, is where none of these settings is.

        Arguments:
            values: The mel, of any shape.
            rate: Sample rate, Hz.
            name: What to call it in an error.

        Errors:
            ValueError: Decibels for a natural logarithm, say.
        """
        low, high = self.bounds(rate)
        mean, margin = float(values.double().mean()), 0.1 * (high - low)
        inside = (values >= low - margin) & (values <= high + margin)
        if not low - margin <= mean <= high + margin or inside.float().mean() < 0.8:
            raise ValueError(
                f"{name}: wanted values from {low:.3g} to {high:.3g}, as the model's settings "
                f"(log={self.log}, floor={self.floor:g}) give them, got a mean of {mean:.4g}, "
                f"values from {float(values.min()):.4g} to {float(values.max()):.4g}. Make it "
                "again with the model's settings."
            )

    def __call__(self, x: Tensor, rate: int) -> Tensor:
        """Analyze waveforms `(B, T)`.

        Arguments:
            x: Waveforms, full scale 1.
            rate: Sample rate, Hz.
        """
        if x.dim() != 2 or not x.shape[1]:
            raise ValueError(f"LogMel: wanted waveforms (B, T) with T > 0, got {tuple(x.shape)}.")
        frames = self.frames(x.shape[1])
        x = F.pad(x, (0, frames * self.hop - x.shape[1]))
        if self.preemphasis:
            x = x - self.preemphasis * F.pad(x, (1, -1))
        left = self.fft // 2 if self.align == "start" else (self.fft - self.hop) // 2
        ends = (left, self.fft - self.hop - left)
        x = F.pad(x[:, None], ends, "reflect" if max(ends) < x.shape[1] else "constant")[:, 0]
        window = torch.hann_window(self.window, dtype=x.dtype, device=x.device)
        bins = torch.stft(
            x, self.fft, self.hop, self.window, window, center=False, return_complex=True
        ).abs()
        bins = bins if self.power == 1 else bins**self.power
        return self._log((self.filters(rate).to(x) @ bins).transpose(1, 2))

    def _log(self, mel: Tensor) -> Tensor:
        mel = mel.clamp(min=self.floor)
        if self.log == "natural":
            return mel.log()
        if self.log == "log10":
            return mel.log10()
        return ((20 * mel.log10() - self.reference) / self.span + 1).clamp(0, 1)


@lru_cache(maxsize=32)
def _filters(mel: LogMel, rate: int) -> Tensor:
    high = rate / 2 if mel.high is None else mel.high
    if not 0 <= mel.low < high <= rate / 2:
        raise ValueError(
            f"LogMel: wanted 0 <= low < high <= {rate / 2:g} Hz, half the sample rate; got "
            f"low={mel.low:g}, high={high:g}. high=null takes half the rate."
        )
    grid = np.linspace(0, rate / 2, mel.fft // 2 + 1)
    edges = librosa.mel_frequencies(mel.bands + 2, fmin=mel.low, fmax=high, htk=mel.htk)
    inside = (grid > edges[:-2, None]) & (grid < edges[2:, None])
    if not inside.any(1).all():
        raise ValueError(
            f"LogMel: {int((~inside.any(1)).sum())} of {mel.bands} bands cover no point of an FFT "
            f"of {mel.fft} at {rate} Hz. Use fewer bands or a larger fft."
        )
    matrix = librosa.filters.mel(
        sr=rate,
        n_fft=mel.fft,
        n_mels=mel.bands,
        fmin=mel.low,
        fmax=high,
        htk=mel.htk,
        norm="slaney" if mel.normalize else None,
        dtype=np.float64,
    )
    return torch.from_numpy(matrix)
