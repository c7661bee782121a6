"""LibriTTS and VCTK, split lists, lengths, buckets, and mels of a front end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hydra import compose, initialize_config_dir

from distill.data.audio import VCTK, AudioCorpus, LibriTTS, LogMel
from distill.data.audio.front_end import given_mel
from distill.data.audio.listing import SUFFIXES, files_below
from distill.instantiate import build

CONF = Path(__file__).parents[3] / "conf"
MEL = LogMel(bands=20, fft=256, window=256, hop=64, high=None)
LIBRI = (
    "train-clean-100/103/1240/103_1240_000000_000001",
    "train-clean-100/103/1241/103_1241_000000_000001",
    "train-clean-100/911/128684/911_128684_000004_000000",
    "dev-clean/84/121123/84_121123_000007_000001",
)


def write(path: Path, seconds: float = 0.4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(path.name))
    soundfile.write(path, 0.1 * rng.normal(size=int(8000 * seconds)), 8000)


def corpus(folder: Path, **settings: object) -> AudioCorpus:
    usual = {"sample_rate": 8000, "crop": 1024, "mel": MEL, "cache": None}
    return AudioCorpus(str(folder), **{**usual, **settings})  # type: ignore[arg-type]


def all_of(data: AudioCorpus) -> dict[str, str | None]:
    return {clip.name: clip.speaker for clip in (*data._train, *data._held)}


def mels_of(data: AudioCorpus) -> dict[str, torch.Tensor]:
    return {clip.name: clip.load().frames["mel"] for clip in (*data._train, *data._held)}


@pytest.fixture
def libri(tmp_path: Path) -> Path:
    for name in LIBRI:
        write(tmp_path / "LibriTTS" / f"{name}.wav")
        (tmp_path / "LibriTTS" / f"{name}.normalized.txt").write_text("Some text.")
    return tmp_path


@pytest.fixture
def vctk(tmp_path: Path) -> Path:
    for name in ("p225/p225_001", "p225/p225_002", "s5/s5_001"):
        for mic in (1, 2):
            write(tmp_path / "wav48_silence_trimmed" / f"{name}_mic{mic}.flac")
    write(tmp_path / "wav48_silence_trimmed" / "p280" / "p280_001_mic1.flac")
    return tmp_path


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    for i in range(8):
        write(tmp_path / "audio" / f"{i}.wav", 0.3 + 0.05 * ((5 * i) % 8))
    return tmp_path / "audio"


def test_libritts_has_speakers_by_subset_and_chapter(libri: Path) -> None:
    write(libri / "LibriTTS" / "dev-clean" / "odd.wav")
    data = corpus(libri, layout=LibriTTS())
    assert all_of(data) == {name: name.split("/")[1] for name in LIBRI}
    assert list(data.scan.rejects) == ["dev-clean/odd"]
    some = corpus(libri / "LibriTTS", layout=LibriTTS(["train-clean-100"]))
    assert set(all_of(some)) == set(LIBRI[:3])
    assert some._held[0].speaker in ("103", "911")
    with pytest.raises(FileNotFoundError, match="only dev-clean, train-clean-100"):
        corpus(libri, layout=LibriTTS(["test-other"]))


def test_vctk_has_the_sentences_of_one_microphone(vctk: Path) -> None:
    first, second = (corpus(vctk, layout=VCTK(mic)) for mic in (1, 2))
    assert all_of(first) == {
        "p225/p225_001": "p225",
        "p225/p225_002": "p225",
        "p280/p280_001": "p280",
        "s5/s5_001": "s5",
    }
    assert not first.scan.rejects
    assert set(all_of(first)) - set(all_of(second)) == {"p280/p280_001"}
    assert second.scan.rejects == {"p280/p280_001": "missing: no mic 2 of this sentence"}
    with pytest.raises(ValueError, match="mic 1 or 2, got 3"):
        VCTK(3)


def test_vctk_before_its_second_microphone_is_read(tmp_path: Path) -> None:
    for name in ("p225/p225_001", "p226/p226_001"):
        write(tmp_path / "wav48" / f"{name}.wav")
    assert set(all_of(corpus(tmp_path, layout=VCTK()))) == {"p225/p225_001", "p226/p226_001"}


@pytest.mark.parametrize("name", ["libritts", "vctk"])
def test_the_yaml_of_a_layout_builds(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue({"libritts": "libri"}.get(name, name))
    words = [f"data={name}", f"data.path={folder}", "+data.cache=null", "data.sample_rate=8000"]
    words += ["features@data.mel=mel_8k", "data.conditions=[mel,speaker]"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        data = build(compose("prepare", words).data)
    assert data.scan.metrics["clips"] == 4
    assert data.spec.features["speaker"].size == 3


def test_split_lists_say_which_clips_are_learnt_from(numbered: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0|A text\nwavs/1.wav|Another\n\n./2\n3\n")
    (tmp_path / "test.txt").write_text("7.wav\n6\nmissing\n")
    files = {"train": str(tmp_path / "train.txt"), "held_out": str(tmp_path / "test.txt")}
    data = corpus(numbered, lists=files)
    assert data.train_names == ["0", "1", "2", "3"]
    assert data.held_out_names == ["6", "7"]
    assert data.scan.rejects == {
        "4": "in no list: data.lists names others",
        "5": "in no list: data.lists names others",
        "missing": "missing: data.lists names it",
    }
    del files["train"]
    (tmp_path / "dev.txt").write_text("0\n")
    rest = corpus(numbered, lists=files | {"validation": str(tmp_path / "dev.txt")})
    assert rest.train_names == ["1", "2", "3", "4", "5"]
    assert rest.part("validation").held_out_names == ["0"]


def test_what_is_written_around_the_names_of_a_list_is_no_part_of_them(
    numbered: Path, tmp_path: Path
) -> None:
    text = '\ufeff0|A\u2028text\r\n"wavs/1.wav"|"Another"\r\n'
    (tmp_path / "test.txt").write_bytes(text.encode())
    data = corpus(numbered, lists={"held_out": str(tmp_path / "test.txt")})
    assert data.held_out_names == ["0", "1"]
    assert not data.scan.rejects


def test_a_clip_in_two_lists_is_refused(numbered: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0\n1\n2\n")
    (tmp_path / "test.txt").write_text("2.wav\n")
    files = {"train": str(tmp_path / "train.txt"), "held_out": str(tmp_path / "test.txt")}
    with pytest.raises(ValueError, match="one list, got 2 in those of train and held_out"):
        corpus(numbered, lists=files)


def test_split_lists_that_say_nothing_are_refused(numbered: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wanted a file for held_out"):
        corpus(numbered, lists={"train": "a"})
    with pytest.raises(FileNotFoundError, match=r"data\.lists"):
        corpus(numbered, lists={"held_out": str(tmp_path / "nowhere")})
    (tmp_path / "list").write_text("other\n")
    with pytest.raises(ValueError, match="found 8 and 0 of 8"):
        corpus(numbered, lists={"held_out": str(tmp_path / "list")})


def test_long_clips_are_left_out(numbered: Path) -> None:
    data = corpus(numbered, longest=0.5)
    kept = {name for name, seconds in corpus(numbered).scan.seconds.items() if seconds <= 0.5}
    assert set(all_of(data)) == set(data.scan.seconds) == kept
    assert len(data.scan.rejects) == 8 - len(kept) == 3
    assert all(r.startswith("too long: 0.") for r in data.scan.rejects.values())


def test_buckets_put_like_lengths_together_and_change_no_clip(numbered: Path) -> None:
    plain, bucketed = (corpus(numbered, held_out=0.8, bucket=size) for size in (0, 2))
    assert set(bucketed.held_out_names) == set(plain.held_out_names)
    clips = {}
    for data in (plain, bucketed):
        for batch, names in zip(
            data.held_out(2), np.array_split(data.held_out_names, [2, 4, 6]), strict=False
        ):
            mask = torch.ones_like(batch.x) if batch.mask is None else batch.mask
            for row, name in enumerate(names):
                x = batch.x[row, : int(mask[row].sum())]
                assert torch.equal(x, clips.setdefault(name, x))
    assert len(clips) == 7
    padded = [
        sum(float((b.mask == 0).sum()) for b in d.held_out(2) if b.mask is not None)
        for d in (plain, bucketed)
    ]
    assert padded[1] < padded[0]


@pytest.mark.parametrize("cached", [False, True])
def test_mels_of_a_front_end_take_the_place_of_computed_ones(
    cached: bool, numbered: Path, tmp_path: Path
) -> None:
    cache = str(tmp_path / "cache") if cached else None
    own = {
        c.name: c.load().frames["mel"] for d in [corpus(numbered)] for c in (*d._train, *d._held)
    }
    mels = tmp_path / "mels"
    mels.mkdir()
    for name, mel in own.items():
        wrong = mel + 1
        if name == "0":
            np.save(mels / "0.npy", wrong.T[None])  # (1, bands, F)
        elif name == "1":
            torch.save({"mel": wrong}, mels / "1.pt")
        elif name == "2":
            np.save(mels / "2.npy", wrong[:-1])
        elif name != "3":
            np.save(mels / f"{name}.npy", wrong)
    corpus(numbered, cache=cache)  # the computed ones are kept beside
    data = corpus(numbered, mels=str(mels), cache=cache)
    assert data.scan.rejects["2"].startswith("mel of another length: ")
    assert data.scan.rejects["3"] == "no mel: data.mels has no file of its name"
    found = mels_of(data)
    assert set(found) == set("014567")
    assert all(torch.allclose(mel, own[name] + 1) for name, mel in found.items())
    # A mel that the front end makes anew is read anew.
    np.save(mels / "4.npy", own["4"] + 2)
    again = corpus(numbered, mels=str(mels), cache=cache)
    assert torch.allclose(mels_of(again)["4"], own["4"] + 2)
    with pytest.raises(ValueError, match="no trim"):
        corpus(numbered, mels=str(mels), trim=40.0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"mel": torch.zeros(10, 20), "log": "log10"}, "other settings: log=log10, wanted natural"),
        ({"mel": torch.zeros(10, 20), "sample_rate": 22050}, "sample_rate=22050, wanted 8000"),
        (torch.full((10, 20), -40.0), "another scale: .*got a mean of -40"),
    ],
)
def test_a_mel_of_other_settings_is_not_learnt_from(tmp_path: Path, content, says) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=says):
        given_mel(tmp_path / "a.pt", MEL, 640, 8000)


def test_a_mel_belongs_to_one_clip(tmp_path: Path) -> None:
    for name in ("a/x", "b/x", "a/y", "b/z"):
        write(tmp_path / "clips" / f"{name}.wav")
    (tmp_path / "mels").mkdir()
    frames = max(len(mel) for mel in mels_of(corpus(tmp_path / "clips")).values())
    for name in "xyz":
        np.save(tmp_path / "mels" / f"{name}.npy", np.zeros((frames, 20), np.float32))
    data = corpus(tmp_path / "clips", mels=str(tmp_path / "mels"))
    assert dict.fromkeys(("a/x", "b/x"), "no mel: 2 clips could be that of x.npy") == {
        name: data.scan.rejects[name] for name in ("a/x", "b/x")
    }
    torch.save(torch.zeros(frames, 20), tmp_path / "mels" / "x.pt")
    with pytest.raises(ValueError, match=r"one mel of each name, got x\.npy and x\.pt"):
        corpus(tmp_path / "clips", mels=str(tmp_path / "mels"))


def test_a_mel_with_centered_windows_may_have_one_frame_more(tmp_path: Path) -> None:
    start = LogMel(bands=20, fft=256, window=256, hop=64, high=None, align="start")
    np.save(tmp_path / "a.npy", np.zeros((11, 20), np.float32))
    assert len(given_mel(tmp_path / "a.npy", start, 640, 8000)) == 10
    for mel, sites in ((MEL, 640), (start, 639)):
        with pytest.raises(ValueError, match="11 frames, wanted 10"):
            given_mel(tmp_path / "a.npy", mel, sites, 8000)
    np.save(tmp_path / "b.npy", np.full((10, 20), np.nan, np.float32))
    with pytest.raises(ValueError, match="NaN"):
        given_mel(tmp_path / "b.npy", MEL, 640, 8000)
    np.save(tmp_path / "c.npy", np.zeros((20, 80), np.float32))
    with pytest.raises(ValueError, match="80 frames, wanted 10"):
        given_mel(tmp_path / "c.npy", MEL, 640, 8000)


def test_a_link_to_a_file_of_the_corpus_is_no_second_clip(tmp_path: Path) -> None:
    for name in ("in/b", "in/c", "in/d", "elsewhere/e"):
        write(tmp_path / f"{name}.wav")
    for name, target in {
        "a": "in/b",
        "z": "in/b",
        "first": "elsewhere/e",
        "last": "elsewhere/e",
    }.items():
        (tmp_path / "in" / f"{name}.wav").symlink_to(tmp_path / f"{target}.wav")
    assert sorted(all_of(corpus(tmp_path / "in"))) == ["b", "c", "d", "first"]
    assert len(files_below(tmp_path / "in", SUFFIXES)) == 7
