"""Clips that are kept back: held out, for validation, and of speakers never learnt from."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from distill.data import Data
from distill.data.audio import LogMel, Pitch
from distill.data.audio.batches import AudioData
from distill.data.audio.preparation import Clip, Loaded
from distill.data.audio.scan import Scan


def data_of(**settings: object) -> AudioData:
    def clip(number: int) -> Clip:
        x = torch.full((32,), number, dtype=torch.int16)
        return Clip(f"{number:02d}", 32, lambda: Loaded(x, {}, {}), "abc"[number % 3], 0)

    usual = {"sample_rate": 8000, "crop": 16, "conditions": (), "pitch": Pitch()}
    mel = LogMel(bands=4, fft=64, window=64, hop=16, high=None)
    given = {**usual, "mel": mel, "held_out": 0.1, "labels": ("one",), **settings}
    return AudioData([clip(i) for i in range(30)], Scan(), **given)  # type: ignore[arg-type]


def test_every_clip_is_in_one_part_alone() -> None:
    data = data_of(validation=0.2, unheard=["b"])
    parts = {name: data.part(name).held_out_names for name in data.parts}
    assert {name: len(names) for name, names in parts.items()} == {
        "held_out": 2,
        "validation": 4,
        "unheard": 10,
    }
    names = Counter([*data.train_names, *(name for part in parts.values() for name in part)])
    assert len(names) == 30
    assert set(names.values()) == {1}


def test_a_part_gives_its_own_clips_and_the_same_training() -> None:
    data = data_of(validation=0.2)
    part = data.part("validation")
    names = [f"{int(x.mean() * 2**15 + 0.5):02d}" for x in next(part.held_out(100)).x]
    assert names == part.held_out_names != data.held_out_names
    assert torch.equal(part.train_batch(3, 4, 0).x, data.train_batch(3, 4, 0).x)
    assert data.watched.held_out_names == part.held_out_names  # type: ignore[attr-defined]


def test_held_out_clips_do_not_depend_on_the_validation_part() -> None:
    assert data_of().held_out_names == data_of(validation=0.3).held_out_names


def test_without_a_validation_part_training_looks_at_what_is_held_out() -> None:
    data = data_of()
    assert data.watched.held_out_names == data.held_out_names  # type: ignore[attr-defined]
    assert Data().watched.parts == ("held_out",)


def test_unheard_speakers_are_nowhere_else() -> None:
    data = data_of(validation=0.2, unheard=["b"])
    speakers = {c.name: c.speaker for c in (*data._train, *data._held)}
    assert set(speakers.values()) == {"a", "c"}
    assert set(data.held_out_speakers.values()) <= {0, 1}
    assert not data.part("unheard").held_out_speakers


def test_the_identity_tells_one_split_from_another() -> None:
    identities = [data_of(), data_of(validation=0.2), data_of(unheard=["b"]), data_of(seed=1)]
    assert all(a.identity() != b.identity() for a in identities for b in identities if a is not b)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"validation": 0.95}, "leave clips to train on"),
        ({"validation": -0.1}, "validation=-0.1"),
        ({"held_out": 0.0}, "held_out=0.0"),
        ({"unheard": ["x"]}, "unheard speakers among a, b, c, got x"),
        ({"unheard": ["a", "b", "c"]}, "of 0 clips"),
        ({"unheard": ["a"], "conditions": ("speaker",)}, "told of a stranger"),
    ],
)
def test_a_split_that_cannot_be_is_refused(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        data_of(**settings)


@pytest.mark.parametrize("name", ["validation", "other"])
def test_a_part_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"wanted a part among held_out, got '{name}'"):
        data_of().part(name)
    with pytest.raises(ValueError, match=f"wanted a part among held_out, got '{name}'"):
        Data().part(name)
