"""All distances of a set of copies from their clips, as flat numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from distill.contract import DataSpec
from distill.data.audio.mel import LogMel
from distill.data.audio.pitch import Pitch
from distill.evaluation.audio.clips import HeldOutClip, rate_of
from distill.evaluation.audio.hiss import hiss
from distill.evaluation.audio.perceived import pesq, stoi
from distill.evaluation.audio.pitch import PitchErrors, Track, track
from distill.evaluation.audio.spectra import level_difference, log_mel_distance, stft_distance
from distill.progress import tracked


@dataclass(frozen=True)
class Comparison:
    """What was found about one set of copies.

    Arguments:
        scalars: Numbers, by name.
        tracks: The pitch of each copy.
    """

    scalars: dict[str, float]
    tracks: list[Track] = field(default_factory=list)


class Comparator:
    """Clips to compare copies with; what concerns the clips alone is computed once.

    Distances of spectra and level are means over clips, those of pitch are pooled over all frames,
    and hiss over all windows that are steady.
    Where the data knows the true pitch, copies are held against it too (`truth_*`). A number is
    left out where no clip gives it: STOI of short clips, say.

    Arguments:
        clips: The references.
        spec: Their sample rate and mel.
        pitch: How pitch is followed.
    """

    def __init__(
        self, clips: Sequence[HeldOutClip], spec: DataSpec, pitch: Pitch | None = None
    ) -> None:
        self.clips = list(clips)
        self.rate = rate_of(spec)
        self.mel = LogMel.of(spec)
        self.pitch = pitch or Pitch()
        self.tracks = self._tracks([clip.x for clip in self.clips])

    def __call__(self, copies: Sequence[Tensor]) -> Comparison:
        """Compare one copy of each clip."""
        pairs = [(copy, clip.x) for copy, clip in zip(copies, self.clips, strict=True)]
        log_mel = [log_mel_distance(*pair, self.rate, self.mel) for pair in pairs]
        level = np.array([level_difference(*pair, self.rate) for pair in pairs])
        numbers = {
            "log_mel_mae": [mae for mae, _ in log_mel],
            "log_mel_rmse": [rmse for _, rmse in log_mel],
            "stft": [stft_distance(*pair, self.rate) for pair in pairs],
            "level_db": list(level),
            "level_off_db": list(np.abs(level)),
            "stoi": self._measured(stoi, pairs),
            "pesq": self._measured(pesq, pairs),
        }
        scalars = {}
        for name, values in numbers.items():
            known = [value for value in values if np.isfinite(value)]
            if known:
                scalars[name] = float(np.mean(known))
        tracks = self._tracks(copies)
        scalars |= PitchErrors.pooled(map(PitchErrors.between, tracks, self.tracks)).scalars()
        scalars |= self._hiss(copies, tracks) | self._against_truth(tracks)
        return Comparison(scalars, tracks)

    def of_references(self) -> dict[str, float]:
        """Return the numbers that the clips have by themselves."""
        return self._hiss([clip.x for clip in self.clips], self.tracks)

    def _hiss(self, sounds: Sequence[Tensor], tracks: Sequence[Track]) -> dict[str, float]:
        each = [hiss(x, own, self.rate, self.mel) for x, own in zip(sounds, tracks, strict=True)]
        windows = np.concatenate([np.zeros(0), *each])
        return {"hiss_db": float(windows.mean())} if len(windows) else {}

    def _against_truth(self, tracks: Sequence[Track]) -> dict[str, float]:
        known = [
            PitchErrors.between(found, Track.of_truth(clip.f0))
            for found, clip in zip(tracks, self.clips, strict=True)
            if clip.f0 is not None
        ]
        if not known:
            return {}
        return {f"truth_{k}": v for k, v in PitchErrors.pooled(known).scalars().items()}

    def _measured(
        self,
        measure: Callable[[Tensor, Tensor, int], float | None],
        pairs: Sequence[tuple[Tensor, Tensor]],
    ) -> list[float]:
        values = [measure(copy, reference, self.rate) for copy, reference in pairs]
        return [value for value in values if value is not None]

    def _tracks(self, sounds: Sequence[Tensor]) -> list[Track]:
        found = tracked(sounds, "find F0")
        return [track(x, self.rate, self.mel, self.pitch) for x in found]
