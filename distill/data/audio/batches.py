"""Audio as data: crops for training, whole clips held out."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch

from distill.contract import Batch, DataSpec, FeatureSpec
from distill.data.audio.checks import check_clips, check_features
from distill.data.audio.clips import NONE, Clips, bucketed
from distill.data.audio.crops import Crops, cut, dequantize
from distill.data.audio.envelope import check_kind, envelope_of
from distill.data.audio.mel import LogMel
from distill.data.audio.pitch import Pitch
from distill.data.audio.practice import Practice
from distill.data.audio.preparation import Clip
from distill.data.audio.scan import Scan
from distill.data.audio.split import HELD_OUT, split
from distill.data.audio.statistics import measure
from distill.data.base import Data, check_part, check_request

_CROP, _HELD = 1, 2  # 0 is the split's
_NAMED = 50_000
FRAMED = ("mel", "f0", "phase")


class AudioData(Data):
    """Clips of 16-bit audio as values of varying length, full scale 1.

    Training crops fall on a clip in proportion to its length, and start on one of its frames at
    random. A clip shorter than the crop is taken whole and filled up; held-out clips are whole,
    up to a length, and filled up to that of the longest beside them. What is filled up is silence
    with mask 0. Everything is dequantized by uniform noise of one 16-bit step, silence too:
    digital silence has no density. Features are those of the whole clip, so a crop's frames know
    what lies beyond its ends.

    Arguments:
        clips: Of one sample rate, with the features at frame rate that `conditions` names.
        scan: What the look through the corpus found.
        sample_rate: Hz.
        crop: Sites of a training crop, a multiple of the mel's hop; `None` takes clips whole.
        conditions: The features to give, any of `mel`, `f0`, `phase`, `speaker`,
            `label`, or none.
        mel: Settings of the mel, and of the frames.
        pitch: Settings of f0.
        labels: Names of the labels.
        seed: Of the split by clips.
        held_out: Share of the clips to hold out, rounded up.
        held_out_seconds: Longest held-out value; the rest of a longer clip is not used.
        optional: Features to learn from, `f0` and `phase`, which a trained model can do without:
            they are in every batch, and it estimates them where they are not given.
        envelope: How the signal's log-power follows from the mel, for models that whiten: `formula`
            of the mel's settings, `fit` to the training clips, or `auto`: the formula, and a fit
            where the mel bends (decibels between two levels, a floor that is high).
        validation: Share of the clips for the part that training watches; 0 for none: it then
            watches what is held out.
        unheard: Speakers to keep for a part of their own, none of whose clips are learnt from.
        part_of: Says of a clip's name which part it is in, in place of shares and chance.
        bucket: Put held-out clips of like length beside each other, so many of them, for batches
            with little to fill up; 0 leaves them as they are.
        copies: Gives of the training clips others to learn from beside them.
        given: Whether the clips' mels were made elsewhere, and can't be computed for another speed.

    Attributes:
        scan: As given.
        mel: As given.
        train_names: Names of the training clips.
        held_out_names: Names of the held-out clips, in the order of `held_out`.
        held_out_labels: Label of each held-out clip that has one, by name, condition or not.
        held_out_speakers: Number of its speaker, likewise.

    Errors:
        ValueError: An unknown condition, or one that the clips lack; a crop that is no multiple
            of the hop; fewer than two clips; a share outside (0, 1); an unknown envelope.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        scan: Scan,
        sample_rate: int,
        crop: int | None,
        conditions: Sequence[str],
        mel: LogMel,
        pitch: Pitch,
        labels: Sequence[str] = (),
        seed: int = 0,
        held_out: float = 0.1,
        held_out_seconds: float = 4.0,
        optional: Sequence[str] = (),
        envelope: str = "auto",
        validation: float = 0.0,
        unheard: Sequence[str] = (),
        part_of: Callable[[str], str | None] | None = None,
        bucket: int = 0,
        copies: Callable[[Clips], Clips] | None = None,
        given: bool = False,
    ) -> None:
        check_features(type(self).__name__, conditions, optional)
        check_kind(type(self).__name__, envelope)
        clips = Clips.of(clips)
        most = int(held_out_seconds * sample_rate) // mel.hop * mel.hop
        if crop is None:
            crop = min(most, mel.frames(int(clips.sites.max(initial=0))) * mel.hop)
        check_clips(type(self).__name__, clips, crop, conditions, mel.hop, unheard)
        self._train, self._kept = split(
            type(self).__name__, clips, seed, held_out, validation, unheard, part_of
        )
        if copies is not None:
            self._train = Clips.joined([self._train, copies(self._train)])
        self.parts = tuple(self._kept)
        self.scan, self.mel, self._pitch, self._rate = scan, mel, pitch, sample_rate
        self._crop, self._most = crop, most
        if most < mel.hop:
            raise ValueError(
                f"{type(self).__name__}: wanted held_out_seconds of a frame or more, "
                f"{mel.hop / sample_rate:.4f} s, got {held_out_seconds}."
            )
        self._names, self._optional = (*conditions, *optional), tuple(optional)
        self._speakers = [name for name in clips.speaker_names if name not in unheard]
        self._numbers = {name: i for i, name in enumerate(self._speakers)}
        self._practice: Practice | None = None
        if "f0" in optional and "mel" in conditions:
            self._practice = Practice(self._train, sample_rate, mel, pitch, given)
        sites = self._train.sites
        # One structure of batches for the whole run.
        self._masked = bool((sites // mel.hop * mel.hop < crop).any())
        self._blank = {
            "mel": mel.silence(sample_rate),
            "f0": pitch.silence(),
            "phase": torch.zeros(2),
        }
        self.batch_size, self._bucket = 4, bucket
        self.train_size = len(self._train)
        self.train_names = self._train.names
        self._hold(HELD_OUT)
        self.spec = self._spec(labels, envelope)

    def train_batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the training crops of a step."""
        return self.train_rows(step, size, seed, 0, size)

    def train_rows(self, step: int, size: int, seed: int, begin: int, end: int) -> Batch:
        """Return some of the training crops of a step; the others are not cut."""
        check_request(self, step, size)
        rng = np.random.default_rng([_CROP, seed, step])
        chosen = self._train.drawn(rng, size)
        clips = [self._train[i] for i in chosen[begin:end]]
        where = rng.random(size)[begin:end]
        crops = cut(clips, self._crop, self.mel.hop, self._blank, where)
        noise = rng.random((size, self._crop), dtype=np.float32)[begin:end]
        batch = self._batch(clips, crops, noise, self._masked)
        if self._practice is None:
            return batch
        return replace(batch, practice=self._practice(step, seed, begin, end))

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield the held-out clips, each dequantized the same way every time."""
        check_request(self, 0, size)
        for first in range(0, len(self._held), size):
            clips = self._held[first : first + size]
            used = [min(clip.sites, self._most) for clip in clips]
            sites = self.mel.frames(max(used)) * self.mel.hop
            crops = cut(clips, sites, self.mel.hop, self._blank, most=self._most)
            places = self._order[first : first + size].tolist()
            rngs = [np.random.default_rng([_HELD, place]) for place in places]
            noise = np.stack([rng.random(sites, dtype=np.float32) for rng in rngs])
            yield self._batch(clips, crops, noise, min(used) < sites)

    def part(self, name: str) -> AudioData:
        """Return the same data, whose held-out clips are those of another part.

        Arguments:
            name: `held_out`, `validation` or `unheard`.

        Errors:
            ValueError: There is no such part.
        """
        check_part(self, name)
        other = copy.copy(self)
        other._hold(name)
        return other

    def cache_table(self) -> str:
        """Return what the cache holds; empty where there is none."""
        return ""

    def _hold(self, part: str) -> None:
        kept = self._kept[part]
        self._order = bucketed(kept.sites, self._bucket)
        self._held = held = kept.select(self._order)
        self.held_out_names = held.names
        labels = zip(held.names, held.labels.tolist(), strict=True)
        self.held_out_labels = {name: label for name, label in labels if label != NONE}
        speakers = zip(held.names, held.speaker_list(), strict=True)
        self.held_out_speakers = {
            name: self._numbers[who] for name, who in speakers if who in self._numbers
        }

    def identity(self) -> dict[str, Any]:
        """Return kind, spec, the names of all parts, and a hash of lengths and speakers."""
        parts = (self._train, *self._kept.values())
        rows = [list(row) for part in parts for row in part.rows()]
        names = {"train": self.train_names} | {k: kept.names for k, kept in self._kept.items()}
        return super().identity() | {
            # Names say what has changed; with very many, that something has must do.
            **(names if len(rows) <= _NAMED else {}),
            "values": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
        }

    def check_matches(self, spec: DataSpec) -> None:
        """Raise unless a model built for `spec` can read these values.

        Errors:
            ValueError: Another rate or hop, other features, another mel, other speakers.
        """
        super().check_matches(spec)
        # A model goes by its own envelope: that of other data may be fitted to other clips.
        for name in sorted((spec.settings.keys() | self.spec.settings.keys()) - {"envelope"}):
            mine, wanted = self.spec.settings.get(name), spec.settings.get(name)
            if mine != wanted:
                raise ValueError(
                    f"{type(self).__name__}: the model wants {name} {_difference(wanted, mine)}, "
                    f"this data has {_difference(mine, wanted)}. Set data.{name} as in training."
                )

    def _batch(self, clips: Sequence[Clip], crops: Crops, noise: np.ndarray, masked: bool) -> Batch:
        x = dequantize(crops.samples, noise)
        features = {}
        for name in self._names:
            if name == "speaker":
                features[name] = torch.tensor([self._numbers[str(c.speaker)] for c in clips])
            elif name == "label":
                features[name] = torch.tensor([int(c.label or 0) for c in clips])
            else:
                features[name] = crops.frames[name]
        mask = None
        if masked:
            mask = (torch.arange(x.shape[1]) < crops.valid[:, None]).to(x.dtype)
        return Batch(x, features or None, mask)

    def _spec(self, labels: Sequence[str], envelope: str) -> DataSpec:
        framed = [name for name in FRAMED if name in self._names]
        scale, measured = measure(self._train, framed)
        measured = {k: replace(v, optional=k in self._optional) for k, v in measured.items()}
        sizes = {"speaker": len(self._speakers), "label": len(labels)}
        beside = {
            "f0": ("pitch", asdict(self._pitch)),
            "phase": ("pitch", asdict(self._pitch)),
            "speaker": ("speakers", self._speakers),
            "label": ("labels", list(labels)),
        }
        settings: dict[str, Any] = {"mel": asdict(self.mel)}
        if "mel" in framed:
            settings["envelope"] = envelope_of(self.mel, self._rate, envelope, self._train)
        return DataSpec(
            sites=None,
            scale=(scale,),
            features={
                name: measured[name] if name in measured else FeatureSpec("label", sizes[name])
                for name in self._names
            },
            sample_rate=self._rate,
            hop=self.mel.hop if framed else 1,
            settings=settings | dict(beside[name] for name in self._names if name in beside),
        )


def _difference(mine: object, other: object) -> str:
    if not isinstance(mine, Mapping) or not isinstance(other, Mapping):
        return str(mine)
    return ", ".join(f"{k}={v}" for k, v in mine.items() if other.get(k) != v) or "others"
