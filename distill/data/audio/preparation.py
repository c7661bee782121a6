"""From a file to a clip: mono, resampled, trimmed, level, and its features."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
import torch
from torch import Tensor

from distill.data.audio.files import Recording, UnusableError, read
from distill.data.audio.front_end import given_mel
from distill.data.audio.mel import LogMel
from distill.data.audio.pitch import Pitch

STEP = 2.0**-15
"""One step of 16-bit audio."""
_PEAK = 0.99
_CANCELED = 10.0
"""How many times less power than of unlike channels is left of channels that cancel."""
_OFFSET = 0.01
_PITCH_VERSION = 4


class Source(NamedTuple):
    """A file, its name in the corpus, and its speaker, label and mel file where it has them."""

    path: str | Path
    name: str
    speaker: str | None = None
    label: int | None = None
    mel: str | Path | None = None


class Loaded(NamedTuple):
    """Samples `(T,)` in int16, features at frame rate `(F, size)`, and facts about the file."""

    samples: Tensor
    frames: dict[str, Tensor]
    facts: dict[str, Any]


class Made(NamedTuple):
    """A part of what is prepared, and for the samples facts about their file."""

    values: Tensor
    facts: dict[str, Any] = {}  # noqa: RUF012


Recall = Callable[[str, Callable[[], Made]], Made]


def anew(name: str, make: Callable[[], Made]) -> Made:
    """Make a part: nothing was kept."""
    return make()


class Clip(NamedTuple):
    """One recording of a corpus; `load` gives its contents, from memory or from disk."""

    name: str
    sites: int
    load: Callable[[], Loaded]
    speaker: str | None = None
    label: int | None = None


@dataclass(frozen=True)
class Preparation:
    """Settings of the way from a file to a clip; a call goes that way.

    Every clip is kept in 16 bits, which is what most corpora come in, and dequantized when it is
    used. Where a 16-bit recording is made louder, it is dequantized before.

    Arguments:
        sample_rate: Hz; other files are resampled, those of a lower rate are left out.
        level: Root mean square to bring each clip to, dB of full scale, as far as its peak
            allows; `None` leaves it.
        trim: Cut what is this many dB below the loudest at both ends; `None` for nothing.
        shortest: Seconds; a shorter clip is left out.
        silence: A clip whose root mean square is below, dB of full scale, is left out.
        mel: Of the feature `mel`, and the frames of the others.
        features: Those at frame rate to compute, among `mel`, `f0` and `phase`.
        pitch: Of the features `f0` and `phase`.
        given: Read mels from the files that sources name, in place of computing them.
        speed: Play files so many times as fast, pitch and all.
    """

    sample_rate: int
    level: float | None = None
    trim: float | None = None
    shortest: float = 0.1
    silence: float = -60.0
    mel: LogMel = field(default_factory=LogMel)
    features: tuple[str, ...] = ("mel",)
    pitch: Pitch = field(default_factory=Pitch)
    given: bool = False
    speed: float = 1.0

    def __call__(self, source: Source, recall: Recall = anew) -> Loaded:
        """Prepare a file.

        Arguments:
            source: The file.
            recall: Gives a part that was prepared before, or makes it.

        Errors:
            UnusableError: With the reason.
        """
        made: dict[str, Made] = {}

        def part(name: str) -> Tensor:
            if name not in made:
                made[name] = recall(name, compute[name])
            return made[name].values

        def heard() -> tuple[Tensor, int, LogMel]:
            return part("audio").double() * STEP, self.sample_rate, self.mel

        def mel() -> Tensor:
            if self.given:
                return given_mel(source.mel, self.mel, len(part("audio")), self.sample_rate)
            x, rate, mel = heard()
            return mel(x[None], rate)[0].float().contiguous()

        compute: dict[str, Callable[[], Made]] = {
            "audio": lambda: self._audio(source),
            "mel": lambda: Made(mel()),
            "hertz": lambda: Made(self.pitch(*heard())),
            "f0": lambda: Made(self.pitch.contour(self.pitch.refined(part("hertz"), *heard()))),
            "phase": lambda: Made(self.pitch.phase(part("f0"), *heard())),
        }
        samples = part("audio")  # before all that follows from it
        frames = {name: part(name) for name in self.features}
        return Loaded(samples, frames, made["audio"].facts)

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return of every part what it depends on beside its file, in plain values."""
        names = ("sample_rate", "level", "trim", "shortest", "silence")
        audio = {name: getattr(self, name) for name in names}
        if self.speed != 1:
            audio["speed"] = self.speed
        frames = {"hop": self.mel.hop, "align": self.mel.align}
        pitch = {"pitch": asdict(self.pitch), "version": _PITCH_VERSION, **frames}
        # The tracker takes long: its result stands, however it is refined.
        tracked = {k: v for k, v in asdict(self.pitch).items() if k != "refine"}
        return {
            "audio": audio,
            "mel": {**audio, "mel": asdict(self.mel), "given": self.given},
            "hertz": {**audio, "pitch": tracked, **frames},
            "f0": audio | pitch,
            "phase": audio | pitch,
        }

    def _audio(self, source: Source) -> Made:
        recording = read(Path(source.path))
        x, notes = self._mono(recording)
        if self.trim is not None:
            x = librosa.effects.trim(x, top_db=self.trim, frame_length=1024, hop_length=128)[0]
        seconds = len(x) / self.sample_rate
        if seconds < self.shortest:
            after = "" if self.trim is None else " after trimming"
            raise UnusableError(f"too short: {seconds:.3f} s{after}, wanted {self.shortest:g} s")
        rms = _power(x) ** 0.5
        offset = float(np.mean(x, dtype=np.float64))
        heard = max(rms**2 - offset**2, 0.0) ** 0.5
        if heard < 10 ** (self.silence / 20):
            level = f"{20 * np.log10(heard):.0f} dB" if heard else "digital silence"
            raise UnusableError(f"silent: {level}, wanted {self.silence:g} dB")
        if abs(offset) > _OFFSET:
            notes.append(f"its mean is {offset:+.3f}, and not 0")
        clipped = _clipped(x)
        if clipped:
            notes.append(f"clipped in {clipped} samples")
        if self.level is not None:
            x = self._leveled(x, rms, source.name, notes)
        samples = np.clip(np.rint(x / STEP), -(2**15), 2**15 - 1).astype(np.int16)
        facts = {"rate": recording.rate, "clipped": clipped, "notes": notes}
        return Made(torch.from_numpy(samples), facts)

    def _mono(self, recording: Recording) -> tuple[np.ndarray, list[str]]:
        x, rate, notes = recording.samples, recording.rate, []
        channels = x.shape[1]
        if channels > 1:
            notes.append(f"{channels} channels, averaged")
        mono = x[:, 0] if channels == 1 else x.mean(1)
        if channels > 1 and channels * _CANCELED * _power(mono) < _power(x):
            raise UnusableError(
                f"channels cancel: the average of {channels} is far below each; mix them first"
            )
        if rate < self.sample_rate:
            raise UnusableError(
                f"low rate: {rate} Hz has nothing above {rate / 2:g} Hz, wanted {self.sample_rate}"
            )
        if rate != self.sample_rate:
            notes.append(f"{rate} Hz, resampled")
        if rate * self.speed != self.sample_rate:
            mono = librosa.resample(mono, orig_sr=rate * self.speed, target_sr=self.sample_rate)
        return mono, notes

    def _leveled(self, x: np.ndarray, rms: float, name: str, notes: list[str]) -> np.ndarray:
        assert self.level is not None
        wanted, most = 10 ** (self.level / 20) / rms, _PEAK / float(np.abs(x).max())
        if wanted > most:
            gains = [f"{20 * np.log10(gain):+.1f}" for gain in (most, wanted)]
            notes.append(f"raised by {gains[0]} dB in place of {gains[1]}, for its peak")
        gain = min(wanted, most)
        if gain > 1:
            noise = np.random.default_rng(zlib.crc32(name.encode())).random(len(x))
            x = x + STEP * (noise - 0.5)
        return gain * x


def _power(x: np.ndarray) -> float:
    return float(np.mean(np.square(x, dtype=np.float64)))


def _clipped(x: np.ndarray) -> int:
    """Count the samples that stand at full scale for three in a row or more."""
    full = np.abs(x) >= 0.999
    run = full[:-2] & full[1:-1] & full[2:]
    inside = np.zeros(len(x), bool)
    for shift in range(3):
        inside[shift : len(x) - 2 + shift] |= run
    return int(inside.sum())
