"""What a network that judges sounds hears first: samples, or their log-mel spectrogram."""

from __future__ import annotations

from functools import partial

import librosa
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill import rows


class StridedFront(nn.Module):
    r"""Samples `(B, 1, T)` to `(B, channels, T / reduction)` by strided convolutions.

    The first has stride 4, each further one 2.

    Arguments:
        channels: Of every convolution.
        rate: Sample rate, Hz; any will do.
        reduction: Sites a row of the output stands for, a power of 2 from 4 on.

    Errors:
        ValueError: Another reduction.

    Source: van den Oord et al., Parallel WaveNet, 2017, arXiv 1711.10433, section 5.

    Example:
        >>> StridedFront(8, 16_000)(torch.randn(2, 1, 80), torch.ones(2, 1, 80)).shape
        torch.Size([2, 8, 10])
    """

    def __init__(self, channels: int, rate: int | None = None, reduction: int = 8) -> None:
        super().__init__()
        if reduction < 4 or reduction & (reduction - 1):
            raise ValueError(
                f"StridedFront: wanted reduction, a power of 2 from 4 on, got {reduction}."
            )
        self.reduction = reduction
        self.strides = (4, *[2] * (reduction.bit_length() - 3))
        widths = (1, *[channels] * len(self.strides))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, channels, 4 * stride, stride, padding=3 * stride // 2)
            for width, stride in zip(widths, self.strides, strict=False)
        )

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        """Analyze samples; where `heard` `(B, 1, T)` is 0 there are none."""
        for stride, convolution in zip(self.strides, self.convolutions, strict=True):
            heard = F.max_pool1d(heard, stride)
            x = F.gelu(convolution(x)) * heard
        return x


class LogMelFront(nn.Module):
    r"""Samples `(B, 1, T)` to `(B, channels, T / reduction)` by a log-mel spectrogram.

    The spectrogram's mean is taken off, so that levels don't count. In training it is disturbed:
    bands and frames are masked as in SpecAugment, and each value gets noise, so that a network
    judges by what a copy shares with its recording, and not by the fine structure of spectra.

    Arguments:
        channels: Of the convolution that follows.
        rate: Sample rate, Hz.
        bands: Mel bands, from 0 Hz to half the rate.
        window: Length of the window, seconds.
        hop: Seconds between windows.
        floor: Smallest magnitude that the logarithm sees, in units of the data's scale.
        noise: Largest standard deviation of the noise on log-magnitudes in training.
        masks: Masked stretches of bands and of frames each in training, up to a fifth of them.

    Errors:
        ValueError: No sample rate; settings out of range.

    Source: Park et al., SpecAugment, 2019, arXiv 1904.08779.

    Example:
        >>> front = LogMelFront(8, 8_000)
        >>> front.reduction, front(torch.randn(2, 1, 640), torch.ones(2, 1, 640)).shape
        (64, torch.Size([2, 8, 10]))
    """

    filters: Tensor
    window: Tensor

    def __init__(
        self,
        channels: int,
        rate: int | None,
        bands: int = 40,
        window: float = 0.032,
        hop: float = 0.008,
        floor: float = 1e-4,
        noise: float = 0.5,
        masks: int = 2,
    ) -> None:
        super().__init__()
        if rate is None:
            raise ValueError("LogMelFront: wanted sounds with a sample rate, got values without.")
        self.reduction, self.length = round(hop * rate), round(window * rate)
        if not (0 < self.reduction <= self.length and bands > 0 and floor > 0):
            raise ValueError(
                "LogMelFront: wanted bands > 0, floor > 0 and 0 < hop <= window, a sample or more; "
                f"got bands={bands}, floor={floor}, hop={hop}, window={window} at {rate} Hz."
            )
        if not (noise >= 0 and masks >= 0):
            raise ValueError(
                f"LogMelFront: wanted noise and masks >= 0, got noise={noise}, masks={masks}."
            )
        self.floor, self.noise, self.masks = floor, noise, masks
        filters = librosa.filters.mel(sr=rate, n_fft=self.length, n_mels=bands)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)
        self.register_buffer("window", torch.hann_window(self.length), persistent=False)
        self.convolution = nn.Conv1d(bands, channels, 3, padding=1)

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        """Analyze samples; where `heard` `(B, 1, T)` is 0 there are none."""
        left = (self.length - self.reduction) // 2
        x = F.pad(x[:, 0], (left, self.length - self.reduction - left))
        window = self.window.to(x)
        bins = torch.stft(
            x, self.length, self.reduction, window=window, center=False, return_complex=True
        )
        # The square has a gradient at silence, where the magnitude has none.
        power = torch.view_as_real(bins).square().sum(-1)
        mel = (self.filters.to(x) @ (power + self.floor**2).sqrt()).clamp_min(self.floor).log()
        heard = F.max_pool1d(heard, self.reduction)
        mel = (mel - _mean(mel, heard)) * heard
        if self.training:
            mel = self._disturbed(mel)
        return self.convolution(mel / 2) * heard

    def _disturbed(self, mel: Tensor) -> Tensor:
        count, bands, frames = mel.shape
        uniform, normal = (
            partial(draw, device=mel.device, dtype=mel.dtype) for draw in (torch.rand, torch.randn)
        )
        loud = self.noise * rows.drawn(uniform, (count, 1, 1), mel.device)
        mel = mel + loud * rows.drawn(normal, tuple(mel.shape), mel.device)
        for _ in range(self.masks):
            mel = mel.masked_fill(_stretch(count, bands, mel.device)[..., None], 0)
            mel = mel.masked_fill(_stretch(count, frames, mel.device)[:, None], 0)
        return mel


def _mean(values: Tensor, heard: Tensor) -> Tensor:
    total = (values * heard).sum((1, 2), keepdim=True)
    return total / (heard.sum((1, 2), keepdim=True) * values.shape[1]).clamp_min(1)


def _stretch(count: int, size: int, device: torch.device) -> Tensor:
    uniform = partial(torch.rand, device=device)
    width, where = rows.drawn(uniform, (2, count, 1), device, axis=1)
    width = 0.2 * width * size
    at = torch.arange(size, device=device)
    start = where * (size - width)
    return (at >= start) & (at < start + width)
