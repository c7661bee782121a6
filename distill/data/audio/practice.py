"""Stretches of clips at random speeds, from which an estimate of F0 learns."""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
import scipy.signal
import torch
from torch import Tensor

from distill.data.audio.clips import Clips
from distill.data.audio.mel import LogMel
from distill.data.audio.pitch import Pitch
from distill.data.audio.preparation import STEP, Loaded

_STREAM = 3  # of random numbers; crops and held-out noise have others
_SHORTEST, _LONGEST = 32, 128  # frames of a stretch
_BEYOND = 16  # frames that a stretch may lie beyond a clip's ends
_AS_RECORDED = 0.2  # share of the stretches that keep their speed
_FASTEST = 1.4


class Practice:
    r"""Mel and F0 of stretches of training clips, played faster or slower, pitch and all.

    A few minutes of speech hold few pitches, and a network learns them by heart. A stretch that is
    played q times as fast, $\ln q$ uniform up to $\pm\ln 1.4$, has a new mel, and its F0 is known
    from that of the recording:

    $$f'(n) = q\,f\big(q (n + \tfrac12) - \tfrac12\big)$$

    with frames n that stand in the middle of their sites. Beyond a clip's ends its last frame is
    repeated, as an encoder does, and F0 is NaN there; so it is where voicing is only half known,
    and where F0 leaves the range.

    All stretches are as long as the middle clip of the corpus, 32 frames at least and 128 at most.

    Arguments:
        clips: With frames of `mel` and `f0`.
        rate: Hz.
        mel: Settings of the mel.
        pitch: For the range of F0.
        given: Whether the clips' mels were made elsewhere: then all keep their speed.

    Source: Ko et al., Audio augmentation for speech recognition, 2015 (speed perturbation).
    """

    def __init__(
        self, clips: Clips, rate: int, mel: LogMel, pitch: Pitch, given: bool = False
    ) -> None:
        self._clips, self._rate, self._mel, self._given = clips, rate, mel, given
        self._range = math.log(pitch.low), math.log(pitch.high)
        self._neutral = pitch.neutral
        middle = int(np.median(clips.sites)) // mel.hop
        self._frames = min(max(middle, _SHORTEST), _LONGEST)

    def __call__(self, step: int, seed: int, begin: int, end: int) -> dict[str, Tensor]:
        """Return the rows `begin` to before `end` of a step: `mel` `(B, F, bands)` and `f0`."""
        made = [
            self._row(np.random.default_rng([_STREAM, seed, step, i])) for i in range(begin, end)
        ]
        mel, f0 = (np.stack(part).astype(np.float32) for part in zip(*made, strict=True))
        return {"mel": torch.from_numpy(mel), "f0": torch.from_numpy(f0)}

    def _row(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        (where,) = self._clips.drawn(rng, 1).tolist()
        loaded = self._clips[where].load()
        changed = rng.random() >= _AS_RECORDED
        wanted = math.exp(rng.uniform(-1, 1) * math.log(_FASTEST))
        # A whole number of recorded sites a frame, whose transform is fast.
        sites = scipy.fft.next_fast_len(round(self._mel.hop * wanted))
        speed = sites / self._mel.hop if changed and not self._given else 1.0
        count = math.ceil(len(loaded.frames["mel"]) / speed)
        # Anywhere, ends included; a clip that is shorter lies anywhere within the stretch.
        spare = count - self._frames
        low, high = (-_BEYOND, spare + _BEYOND) if spare >= 0 else (spare, 0)
        place = int(rng.integers(low, high + 1)) + np.arange(self._frames)
        own = place.clip(0, count - 1)
        f0 = self._f0(loaded, own, speed)
        f0[place != own] = np.nan
        if speed == 1:
            return loaded.frames["mel"].numpy()[own], f0
        return self._sped(loaded, own, speed), f0

    def _sped(self, loaded: Loaded, frames: np.ndarray, speed: float) -> np.ndarray:
        """Return the mel of these frames of a clip that is played at another speed."""
        hop, margin = self._mel.hop, self._mel.window // self._mel.hop + 1
        last = math.ceil(len(loaded.frames["mel"]) / speed)
        first, last = max(int(frames[0]) - margin, 0), min(int(frames[-1]) + 1 + margin, last)
        begin, end = (round(i * hop * speed) for i in (first, last))
        samples = np.zeros(end - begin, np.float32)
        heard = loaded.samples.numpy()[begin:end]
        samples[: len(heard)] = heard * STEP
        x = torch.from_numpy(scipy.signal.resample(samples, (last - first) * hop))
        return self._mel(x[None], self._rate)[0].numpy()[frames - first]

    def _f0(self, loaded: Loaded, frames: np.ndarray, speed: float) -> np.ndarray:
        """Return log-frequency and voicing of these frames at another speed."""
        half = 0.5 if self._mel.align == "middle" else 0.0
        recorded = loaded.frames["f0"].numpy()
        at = ((frames + half) * speed - half).clip(0, len(recorded) - 1)
        before = np.floor(at).astype(int)
        after = np.minimum(before + 1, len(recorded) - 1)
        share = at - before
        line = recorded[before, 0] * (1 - share) + recorded[after, 0] * share + math.log(speed)
        voiced = np.stack([recorded[before, 1], recorded[after, 1]]) > 0
        # Between a voiced frame and another there is no telling.
        voiced = np.where(share == 0, voiced[0], voiced)
        both, neither = voiced.all(0), ~voiced.any(0)
        inside = (line >= self._range[0]) & (line <= self._range[1])
        f0 = np.stack([np.where(both, line, self._neutral), both], 1).astype(np.float32)
        f0[~(neither | (both & inside))] = np.nan
        return f0
