"""Frames that people give: refused where none can be so, remarked on where hardly any are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from distill.contract import DataSpec
from distill.data.audio.mel import LogMel
from distill.f0 import check_f0
from distill.frames import FrameLayout

_ENOUGH = 40
"""Frames after which a stream's mel is judged; a whole one may have fewer."""
# Of the clips of FSDD and LJ Speech, and pieces of 20 frames, fewer than 1 in 1,000 are taken for
# something else, and 98 % of those in log10 are found.
_HIGH, _FAR = 1.25, 2.5
_MAGNITUDES = "magnitudes without a logarithm"


def check_frames(features: Mapping[str, Tensor], spec: DataSpec, name: str) -> None:
    """Raise where features `(B, F, size)` are none that data with a mel's settings can have.

    Arguments:
        features: By name; an F0 may be NaN where it is left out.
        spec: Of the model. Without settings of a mel nobody knows what is right.
        name: What to call them in an error.

    Errors:
        ValueError: A mel of another scale; an F0 out of range.
    """
    if "mel" not in spec.settings or spec.sample_rate is None:
        return
    mel, f0 = features.get("mel"), features.get("f0")
    if mel is not None:
        LogMel.of(spec).check_scale(mel, spec.sample_rate, f"{name}: mel")
    for row in () if f0 is None or f0.shape[-1] != 2 else f0.numpy():
        frames = np.flatnonzero(np.isfinite(row).all(1))
        check_f0(row[frames], frames, spec.sample_rate, f"{name}: f0")


def remark_on(rows: np.ndarray, layout: FrameLayout) -> str | None:
    """Return what is unusual in the mel of whole rows `(F, width)`, or `None`."""
    mel = layout.parts(rows).get("mel")
    return None if mel is None else MelWatch(layout.spec).whole(torch.tensor(mel))


class MelWatch:
    """Compares a mel with the training data's, as it comes in.

    Where it is louder on average than speech ever is, it is likely of another scale: the numbers of
    log10 and of magnitudes are ones that natural logarithms have too.

    Arguments:
        spec: Of the model.

    Example:
        >>> from distill.contract import FeatureSpec
        >>> mel = {"mel": FeatureSpec("frames", 1, (-6.0,), (2.0,))}
        >>> made = {"bands": 1, "fft": 16, "window": 16, "hop": 8, "high": None}
        >>> spec = DataSpec(None, features=mel, sample_rate=80, hop=8, settings={"mel": made})
        >>> MelWatch(spec).whole(torch.linspace(-4, 0, 9).view(1, 9, 1))[:58]
        'the mel is 2 standard deviations above the training data, '
    """

    def __init__(self, spec: DataSpec) -> None:
        feature = spec.features.get("mel")
        self._frames, self._said = 0, False
        self._readings: dict[str, Callable[[Tensor], Tensor]] = {}
        if feature is None or not feature.scale or spec.sample_rate is None:
            return
        if "mel" not in spec.settings:
            return
        mel = LogMel.of(spec)
        factor, term = mel.to_natural_log()
        low, high = mel.bounds(spec.sample_rate)
        self._loc, self._scale = torch.tensor(feature.loc), torch.tensor(feature.scale)

        def of_natural(value: Tensor) -> Tensor:
            return ((value - term) / factor).clamp(low, high)

        self._readings = {
            "": lambda given: given,
            "log10": lambda given: of_natural(given * math.log(10)),
            _MAGNITUDES: lambda given: of_natural(given.clamp(1e-10).log()),
        }
        if mel.log == "log10":
            del self._readings["log10"]
        self._sums = dict.fromkeys(self._readings, 0.0)
        self._above, self._least = 0.0, math.inf

    def whole(self, mel: Tensor) -> str | None:
        """Return a remark on a whole mel `(B, F, bands)`, `None` where it is as usual."""
        return self.add(mel) or self.remark()

    def add(self, mel: Tensor) -> str | None:
        """Take in frames of a stream; return a remark once there are enough of them, once."""
        if not self._readings or self._said or not mel.numel():
            return None
        frames = mel.detach().float().reshape(-1, mel.shape[-1])
        for name, read in self._readings.items():
            apart = (read(frames) - self._loc) / self._scale
            self._sums[name] += float(apart.square().mean(1).sum())
            if not name:
                self._above += float(apart.mean(1).sum())
        self._least = min(self._least, float(frames.min()))
        self._frames += len(frames)
        return self.remark() if self._frames >= _ENOUGH else None

    def remark(self) -> str | None:
        """Return what is unusual in all that came, unless it was said."""
        if self._said or not self._frames:
            return None
        above = self._above / self._frames
        others = {name: s for name, s in self._sums.items() if name}
        if self._least < 0:
            others.pop(_MAGNITUDES, None)
        likely = min(others, key=others.__getitem__, default="")
        fits = bool(likely) and self._sums[""] - others[likely] > self._frames
        if above < _HIGH or not (fits or above > _FAR):
            return None
        self._said = True
        looks = f", as if it were in {likely}" if fits else ""
        return (
            f"the mel is {above:.2g} standard deviations above the training data, on average{looks}"
            ". Make it with the model's settings, if it is of others."
        )
