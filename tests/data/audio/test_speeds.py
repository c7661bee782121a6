"""Copies of training clips at other speeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distill.data.audio import AudioCorpus, LogMel

RATE = 8000
MEL = LogMel(bands=20, fft=256, window=256, hop=64, high=None)


@pytest.fixture
def corpus(tmp_path: Path) -> Callable[..., AudioCorpus]:
    t = np.arange(RATE) / RATE
    for number in range(6):
        x = 0.3 * np.sin(2 * np.pi * 200 * t + number)
        (tmp_path / "files").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "files" / f"{number}.wav", x, RATE)

    def made(**settings: object) -> AudioCorpus:
        usual = {"sample_rate": RATE, "crop": 1024, "mel": MEL, "cache": str(tmp_path / "kept")}
        given = {**usual, "validation": 0.2, "held_out": 0.2, **settings}
        return AudioCorpus(str(tmp_path / "files"), **given)  # type: ignore[arg-type]

    return made


def hertz(x: torch.Tensor) -> float:
    """Frequency of a sine, by its turns through zero."""
    return float((x[1:] * x[:-1] < 0).sum()) / 2 / (len(x) / RATE)


@pytest.mark.parametrize("cached", [True, False])
def test_training_clips_are_learnt_from_at_other_speeds_too_and_no_others(
    corpus: Callable[..., AudioCorpus], cached: bool
) -> None:
    own = {} if cached else {"cache": None}
    plain, data = corpus(**own), corpus(speeds=[0.8, 1.25], **own)
    copies = [f"{name} at {speed}" for speed in (0.8, 1.25) for name in plain.train_names]
    assert data.train_names == [*plain.train_names, *copies]
    for part in ("held_out", "validation"):
        assert data.part(part).held_out_names == plain.part(part).held_out_names
    assert data.scan.metrics["copies"] == len(copies)
    assert f"| copies at other speeds | {len(copies)} |" in data.scan.table()
    assert "copies" not in plain.scan.table()
    batch = data.train_batch(0, 64, 0)
    pitches = [hertz(x) for x in batch.x]
    near = [min((200.0, 160.0, 250.0), key=lambda f: abs(f - pitch)) for pitch in pitches]
    assert set(near) == {200.0, 160.0, 250.0}
    assert all(abs(pitch - f) < 8 for pitch, f in zip(pitches, near, strict=True))


def test_features_are_those_of_the_copy(corpus: Callable[..., AudioCorpus]) -> None:
    data = corpus(speeds=[1.25])
    clip = data._train[len(data.train_names) - 1]
    loaded = clip.load()
    assert clip.name.endswith(" at 1.25")
    assert clip.sites == len(loaded.samples) == RATE / 1.25
    mel = MEL(loaded.samples.double()[None] * 2.0**-15, RATE)[0].float()
    torch.testing.assert_close(loaded.frames["mel"], mel)


def test_copies_are_prepared_once_and_recordings_not_again(
    corpus: Callable[..., AudioCorpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus()
    read: list[Path] = []
    import distill.data.audio.preparation as preparation

    before = preparation.read
    monkeypatch.setattr(preparation, "read", lambda path: read.append(path) or before(path))
    first = corpus(speeds=[1.25])
    assert sorted(path.stem for path in read) == sorted(
        name.removesuffix(" at 1.25") for name in first.train_names if " at " in name
    )
    read.clear()
    second = corpus(speeds=[1.25])
    assert not read
    assert torch.equal(first.train_batch(3, 4, 0).x, second.train_batch(3, 4, 0).x)
    assert first.identity() == second.identity() != corpus().identity()


def test_a_copy_that_is_too_short_is_left_out_with_a_remark(
    corpus: Callable[..., AudioCorpus],
) -> None:
    data = corpus(speeds=[1.25], shortest=0.9)
    assert not [name for name in data.train_names if " at " in name]
    assert data.scan.metrics["rejects"] == data.scan.metrics["copies"] == 0
    notes = [data.scan.notes[f"{name} at 1.25"] for name in data.train_names]
    assert all(note.startswith("no copy: too short") for note in notes)


@pytest.mark.parametrize(
    ("speeds", "said"),
    [
        ([1.0], "differ from each other and from 1"),
        ([0.9, 0.9], "differ from each other and from 1"),
        ([3], "speeds: wanted a number from 0.5 to 2, got 3"),
        (0.9, "wanted speeds as a list"),
        (["fast"], "speeds: wanted a number from 0.5 to 2, got 'fast'"),
    ],
)
def test_speeds_without_sense_are_refused(
    corpus: Callable[..., AudioCorpus], speeds: object, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        corpus(speeds=speeds)


def test_mels_of_a_front_end_fit_no_other_speed(
    corpus: Callable[..., AudioCorpus], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"data\.speeds: wanted mels that are computed"):
        corpus(speeds=[0.9], mels=str(tmp_path))
