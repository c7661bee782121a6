"""The envelope of a plain mel: a formula of its settings."""

from __future__ import annotations

import math
from typing import Any

import torch

from distill.data.audio.mel import LogMel


def closed_formula(mel: LogMel, rate: int) -> dict[str, Any]:
    r"""Derive the map from the settings of a mel alone: one factor and one term for each band.

    A band's value says how large $\lvert X\rvert^p$ is on average, where noise of power
    $\sigma^2$ has $\mathrm{E}\lvert X\rvert^p = \Gamma(1 + p/2)\,(\sigma^2 \sum_n w_n^2)^{p/2}$:

    $$\ln\sigma^2 = \tfrac{2}{p}\big(\ln M - \ln\textstyle\sum_k M_k - \ln\Gamma(1+p/2)\big)
      - \ln\textstyle\sum_n w_n^2 - \ln\lvert 1 - a e^{-i\omega}\rvert^2$$

    with the filter's area, the window w, and the preemphasis a. For magnitudes, p = 1, the
    gamma function gives the factor $4/\pi$.

    Arguments:
        mel: The settings.
        rate: Sample rate, Hz.

    Returns:
        As `envelope_of`, with a diagonal map.

    Example:
        >>> formula = closed_formula(LogMel(bands=20, fft=256, window=256, hop=64, high=None), 8000)
        >>> formula["kind"], len(formula["knots"]), formula["weight"][0]
        ('formula', 20, 2.0)
    """
    knots = mel.peaks(rate) * mel.fft / rate
    slope, start = mel.to_natural_log()
    window = torch.hann_window(mel.window, dtype=torch.float64).square().sum().log()
    turn = 2 * math.pi * knots / mel.fft
    emphasis = (1 - 2 * mel.preemphasis * turn.cos() + mel.preemphasis**2).log()
    area = mel.filters(rate).sum(1).log()
    exponent = 2 / mel.power
    bias = exponent * (start - area - math.lgamma(1 + mel.power / 2)) - window - emphasis
    return {
        "kind": "formula",
        "fft": mel.fft,
        "knots": knots.tolist(),
        "weight": [exponent * slope] * mel.bands,
        "bias": bias.tolist(),
    }
