"""A synthetic corpus that needs no file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from distill.checks import check_seed
from distill.data.audio.batches import AudioData
from distill.data.audio.mel import LogMel
from distill.data.audio.pitch import Pitch
from distill.data.audio.preparation import STEP, Clip, Loaded
from distill.data.audio.scan import Scan
from distill.data.audio.sounds import Sound, burst, pluck, tone

KINDS = ("tone", "pluck", "burst")
_MAKE = {"tone": tone, "pluck": pluck, "burst": burst}


class Tones(AudioData):
    """Harmonic tones with gliding pitch, plucked strings and noise bursts, made in memory.

    The label of a clip is its kind. Its fundamental frequency is known: `truth_f0`, which is the
    feature `f0` as well.

    Arguments:
        count: Number of clips; the kinds take turns.
        seconds: Duration of each.
        sample_rate: Hz.
        kinds: Any of `tone`, `pluck`, `burst`.
        level: Root mean square of a sound, full scale 1.
        noise: Standard deviation of white noise under everything.
        crop: Sites of a training crop, a multiple of the mel's hop; `None` takes clips whole.
        conditions: The features to give, any of `mel`, `f0`, `phase`, `label`, or
            none.
        mel: Settings of the mel, and of the frames; by default for 8 kHz.
        seed: Of sounds and split.
        held_out: Share of the clips to hold out, rounded up.
        held_out_seconds: Longest held-out value.
        optional: Of `f0` and `phase`, those that a trained model can do without.
        envelope: For models that whiten, `auto`, `formula` or `fit`: see `AudioData`.
        validation: Share of the clips for the part that training watches; 0 for none.

    Errors:
        ValueError: Fewer than two clips, clips below 0.2 s, an unknown kind, a rate below 4 kHz;
            what `AudioData` raises.

    Example:
        >>> data = Tones(count=6, seconds=0.5)
        >>> batch = data.train_batch(step=0, size=2, seed=0)
        >>> batch.x.shape, batch.features["mel"].shape
        (torch.Size([2, 2048]), torch.Size([2, 32, 64]))
    """

    def __init__(
        self,
        count: int = 300,
        seconds: float = 1.0,
        sample_rate: int = 8_000,
        kinds: Sequence[str] = KINDS,
        level: float = 0.1,
        noise: float = 0.001,
        crop: int | None = 2_048,
        conditions: Sequence[str] = ("mel",),
        mel: LogMel | None = None,
        seed: int = 0,
        held_out: float = 0.1,
        held_out_seconds: float = 4.0,
        optional: Sequence[str] = (),
        envelope: str = "auto",
        validation: float = 0.0,
    ) -> None:
        check_seed(seed, "data.seed")
        unknown = [kind for kind in kinds if kind not in _MAKE]
        if count < 2 or seconds < 0.2 or not kinds or unknown or sample_rate < 4000:
            raise ValueError(
                f"Tones: wanted count >= 2, seconds >= 0.2, sample_rate >= 4000 and kinds among "
                f"{', '.join(KINDS)}; got count={count}, seconds={seconds}, "
                f"sample_rate={sample_rate}, kinds={', '.join(kinds) or 'none'}."
            )
        if not (0 < level < 1 and 0 <= noise < 1):
            raise ValueError(
                f"Tones: wanted level between 0 and 1 and noise from 0 to 1, got {level}, {noise}."
            )
        mel = mel or LogMel.usual(8_000)
        pitch = Pitch()
        self._truth: dict[str, Tensor] = {}
        self._sites = int(seconds * sample_rate)
        clips, scan = [], Scan()
        for i in range(count):
            kind = kinds[i % len(kinds)]
            rng = np.random.default_rng([seed, i])
            sound = _MAKE[kind](rng, self._sites, sample_rate)
            wave = level * sound.wave / sound.wave.std() + noise * rng.normal(size=self._sites)
            samples = np.clip(np.rint(wave / STEP), -(2**15), 2**15 - 1).astype(np.int16)
            name = f"{i:04d}_{kind}"
            self._truth[name] = _at_frames(sound, mel)
            loaded = self._loaded(torch.from_numpy(samples), name, mel, pitch, sample_rate)
            clips.append(Clip(name, self._sites, partial(_same, loaded), label=KINDS.index(kind)))
            scan.add(name, self._sites / sample_rate, {"rate": sample_rate})
        super().__init__(
            clips,
            scan,
            sample_rate=sample_rate,
            crop=crop,
            conditions=conditions,
            mel=mel,
            pitch=pitch,
            labels=KINDS,
            seed=seed,
            held_out=held_out,
            held_out_seconds=held_out_seconds,
            optional=optional,
            envelope=envelope,
            validation=validation,
        )

    def truth_f0(self, name: str) -> Tensor:
        """Return the frequency at each frame's center of a clip, Hz `(F,)`, 0 without a pitch.

        Arguments:
            name: As in `train_names` and `held_out_names`.
        """
        return self._truth[name]

    def _loaded(self, samples: Tensor, name: str, mel: LogMel, pitch: Pitch, rate: int) -> Loaded:
        x, contour = samples.double() * STEP, pitch.contour(self._truth[name])
        frames = {
            "mel": mel(x[None], rate)[0].float(),
            "f0": contour,
            "phase": pitch.phase(contour, x, rate, mel),
        }
        return Loaded(samples, frames, {})


def _at_frames(sound: Sound, mel: LogMel) -> Tensor:
    sites = len(sound.hertz)
    centers = mel.centers(mel.frames(sites)).clamp(max=sites - 1)
    return torch.from_numpy(sound.hertz[centers.numpy()]).float()


def _same(loaded: Loaded) -> Loaded:
    return loaded
