"""Fundamental frequency: tracks, and how far two of them are apart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from distill.data.audio.mel import LogMel
from distill.data.audio.pitch import Pitch

_SILENCE = 1e-5


@dataclass(frozen=True)
class Track:
    """A sound's pitch, frame by frame.

    Arguments:
        f0: Fundamental frequency in Hz, `(F,)`, by the tracker.
        voiced: Which frames have one.
        refined: The same where the harmonics are strongest, `Pitch.refined`: on a glide pYIN is
            tens of cents off, in ways that differ from copy to copy.
    """

    f0: np.ndarray
    voiced: np.ndarray
    refined: np.ndarray

    @classmethod
    def of_truth(cls, f0: Tensor | np.ndarray) -> Track:
        """Read known frequencies; 0 and NaN say that a frame has no voice."""
        values = np.nan_to_num(np.asarray(f0, dtype=np.float64)).reshape(-1)
        return cls(values, values > 0, values)


@dataclass(frozen=True)
class PitchErrors:
    """Differences between tracks.

    Arguments:
        cents: Of every frame that is voiced in both.
        agree: For every frame, whether both say the same of its voice.
        voiced: For every frame, whether the reference has a voice.
        refined: Like `cents`, between the refined frequencies.
    """

    cents: np.ndarray
    agree: np.ndarray
    voiced: np.ndarray
    refined: np.ndarray

    @classmethod
    def between(cls, copy: Track, reference: Track) -> PitchErrors:
        """Compare two tracks frame by frame, as far as both reach."""
        frames = min(len(copy.f0), len(reference.f0))
        heard, wanted = copy.voiced[:frames], reference.voiced[:frames]
        both = heard & wanted
        cents, refined = (
            1200 * np.log2(a[:frames][both] / b[:frames][both])
            for a, b in ((copy.f0, reference.f0), (copy.refined, reference.refined))
        )
        return cls(cents, heard == wanted, wanted, refined)

    @classmethod
    def pooled(cls, errors: Iterable[PitchErrors]) -> PitchErrors:
        """Put the frames of several clips together."""
        parts = list(errors)
        return cls(
            np.concatenate([p.cents for p in parts]),
            np.concatenate([p.agree for p in parts]),
            np.concatenate([p.voiced for p in parts]),
            np.concatenate([p.refined for p in parts]),
        )

    def scalars(self) -> dict[str, float]:
        """Return the numbers to report; those without any frame to judge are left out.

        `f0_within_N_cents` counts frames voiced in both, `f0_refined_within_N_cents` likewise;
        `f0_found_within_N_cents` counts a voiced frame of the reference that the copy leaves
        voiceless as missed.
        """
        numbers: dict[str, float] = {}
        if len(self.agree):
            numbers["voicing_agreement"] = float(self.agree.mean())
        if len(self.cents):
            off = np.abs(self.cents)
            numbers["f0_median_cents"] = float(np.median(off))
            for limit in (20, 50):
                numbers[f"f0_within_{limit}_cents"] = float((off <= limit).mean())
                refined = np.abs(self.refined) <= limit
                numbers[f"f0_refined_within_{limit}_cents"] = float(refined.mean())
        if self.voiced.any():
            off = np.abs(self.cents)
            for limit in (20, 50):
                found = float((off <= limit).sum() / self.voiced.sum())
                numbers[f"f0_found_within_{limit}_cents"] = found
        return numbers


def track(x: Tensor, rate: int, mel: LogMel, pitch: Pitch | None = None) -> Track:
    """Follow the pitch of a sound `(T,)` on the frames of a mel.

    Arguments:
        x: The sound; silence is fine, and so are offsets, which are taken off.
        rate: Sites per second.
        mel: Whose frames.
        pitch: Range and resolution.
    """
    x = torch.nan_to_num(x.detach().cpu().float())
    x = x - x.mean() if len(x) else x
    frames = mel.frames(len(x))
    if not len(x) or x.abs().max() < _SILENCE:
        return Track(np.zeros(frames), np.zeros(frames, bool), np.zeros(frames))
    follow = pitch or Pitch()
    f0 = follow(x, rate, mel)
    refined = follow.refined(f0, x, rate, mel).numpy().astype(np.float64)
    return replace(Track.of_truth(f0), refined=refined)
