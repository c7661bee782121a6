"""The envelope of a mel that bends: a regression on clips, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from distill.data.audio.envelope_formula import closed_formula
from distill.data.audio.mel import LogMel
from distill.data.audio.preparation import STEP, Clip

_CLIPS, _FRAMES = 200, 40_000
_RIDGE = 1e-3
_DIGITS = 6


def fitted(mel: LogMel, rate: int, clips: Sequence[Clip]) -> dict[str, Any]:
    r"""Fit the map to clips: ridge regression from all bands to the log-power t at each knot.

    The knots are the bands of a plain mel over all frequencies, as dense as the given one, whose
    formula gives t. Samples lie anywhere within their 16-bit step, so the power of that is added.
    At last the term of each knot is moved by $\ln\mathrm{E}\,e^{t - \hat t}$: whitened by
    $\hat t$, every frequency has power 1 on average.

    At most 200 clips that lie evenly spread, and 40,000 of their frames, are used.

    Arguments:
        mel: The settings.
        rate: Sample rate, Hz.
        clips: The training clips, with a mel.

    Returns:
        As `envelope_of`, with a full map.

    Source: Hoerl and Kennard, Ridge regression, 1970.
    """
    plain = _plain(mel, rate)
    formula = closed_formula(plain, rate)
    some = clips[:: -(-len(clips) // _CLIPS)]
    stride = -(-sum(mel.frames(clip.sites) for clip in some) // _FRAMES)
    inputs, targets = [], []
    for clip in some:
        loaded = clip.load()
        inputs.append(loaded.frames["mel"][::stride].double())
        targets.append(plain((loaded.samples.double() * STEP)[None], rate)[0, ::stride])
    m = torch.cat(inputs)
    power = torch.cat(targets) * torch.tensor(formula["weight"]) + torch.tensor(formula["bias"])
    t = torch.logaddexp(power, torch.tensor(STEP**2 / 12, dtype=torch.float64).log())
    weight = _rounded(_ridge(m, t))
    bias = _rounded((t - m @ weight).exp().mean(0).log())
    return {
        "kind": "fit",
        "fft": mel.fft,
        "knots": formula["knots"],
        "weight": weight.T.tolist(),
        "bias": bias.tolist(),
    }


def _plain(mel: LogMel, rate: int) -> LogMel:
    """Return a mel of energies over all frequencies, with as many bands as fit at most."""
    plain = replace(
        mel, low=0.0, high=None, normalize=True, power=2.0, log="natural", floor=1e-30,
        preemphasis=0.0,
    )  # fmt: skip
    for bands in range(mel.bands, 0, -1):
        plain = replace(plain, bands=bands)
        try:
            plain.filters(rate)
        except ValueError:
            continue
        break
    return plain


def _ridge(m: Tensor, t: Tensor) -> Tensor:
    """Return the weights `(bands, K)` of a ridge regression with free terms."""
    scale = m.std(0, correction=0).clamp_min(1e-6)
    z, y = (m - m.mean(0)) / scale, t - t.mean(0)
    penalty = _RIDGE * len(m) * torch.eye(m.shape[1], dtype=m.dtype)
    return torch.linalg.solve(z.T @ z + penalty, z.T @ y) / scale[:, None]


def _rounded(values: Tensor) -> Tensor:
    """Round to as many digits as matter: the map is written into every checkpoint and export."""
    digits = [float(f"{value:.{_DIGITS}g}") for value in values.flatten().tolist()]
    return torch.tensor(digits, dtype=torch.float64).view(values.shape)
