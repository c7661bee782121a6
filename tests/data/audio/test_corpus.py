"""Corpora on disk: what is read, what is left out, and the cache."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distill.data.audio import AudioCorpus, Digits, LogMel
from distill.data.audio import preparation as preparation_module

RATE = 8000
MEL = LogMel(bands=20, fft=256, window=256, hop=64, high=None)
SHARED = Path(__file__).parents[4] / "shared" / "data"


def sound(seconds: float = 0.5, rate: int = RATE, hertz: float = 200.0) -> np.ndarray:
    t = np.arange(int(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * hertz * t) * np.hanning(len(t))


def write(
    path: Path, x: np.ndarray | None = None, rate: int = RATE, coding: str | None = None
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound(rate=rate) if x is None else x, rate, coding)
    return path


def corpus(path: Path, **settings: object) -> AudioCorpus:
    usual = {"sample_rate": RATE, "crop": 1024, "mel": MEL, "cache": None}
    return AudioCorpus(str(path), **{**usual, **settings})  # type: ignore[arg-type]


def test_every_kind_of_file_is_read_at_any_depth(tmp_path: Path) -> None:
    for name in ("a.wav", "b.flac", "in/c.ogg", "in/deep/d.mp3", "in/e.WAV"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no audio")
    data = corpus(tmp_path)
    names = {"a", "b", "in/c", "in/deep/d", "in/e"}
    assert set(data.train_names) | set(data.held_out_names) == names
    assert not data.scan.rejects
    assert data.scan.metrics["files"] == 5


def test_names_keep_their_suffix_only_where_they_collide(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "b.wav"):
        write(tmp_path / name)
    data = corpus(tmp_path)
    assert set(data.scan.seconds) == {"a.wav", "a.flac", "b"}


def test_sixteen_bits_are_kept_as_they_are(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 4000).astype(np.int16)
    for name in ("a.wav", "b.wav"):
        write(tmp_path / name, samples)
    data = corpus(tmp_path)
    assert torch.equal(data._train[0].load().samples, torch.from_numpy(samples))


def test_stereo_and_other_rates_are_converted_and_noted(tmp_path: Path) -> None:
    write(tmp_path / "mono.wav")
    write(tmp_path / "stereo.wav", np.stack([sound(), 0 * sound()], 1))
    write(tmp_path / "odd.wav", rate=11_127)
    data = corpus(tmp_path)
    assert data.scan.notes == {"stereo": "2 channels, averaged", "odd": "11127 Hz, resampled"}
    assert data.scan.rates == {8000: 2, 11_127: 1}
    loaded = {c.name: c.load().samples for c in [*data._train, *data._held]}
    mono = loaded["mono"].double()
    assert (loaded["stereo"] - mono / 2).abs().max() <= 1
    assert len(loaded["odd"]) == pytest.approx(4000, abs=2)
    assert (loaded["odd"][:3998] - mono[:3998]).abs().max() < 200


def cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "empty": (".wav", lambda p: p.write_bytes(b""), "empty: 0 bytes"),
    "no samples": (".wav", lambda p: write(p, np.zeros(0)), "empty: no samples"),
    "unreadable": (".wav", lambda p: p.write_bytes(b"not audio at all" * 9), "unreadable"),
    "truncated wav": (".wav", lambda p: (write(p), cut(p, 0.6)), "truncated"),
    "truncated flac": (
        ".flac",
        lambda p: (write(p, np.random.default_rng(0).normal(size=9000) / 9), cut(p, 0.5)),
        "truncated|unreadable",
    ),
    "truncated ogg": (
        ".ogg",
        lambda p: (write(p, np.random.default_rng(0).normal(size=90_000) / 9), cut(p, 0.7)),
        "truncated",
    ),
    "silent": (".wav", lambda p: write(p, np.zeros(4000)), "silent: digital silence"),
    "nearly silent": (".wav", lambda p: write(p, sound() * 1e-3), "silent: -"),
    "NaN": (".wav", lambda p: write(p, np.full(4000, np.nan), coding="FLOAT"), "NaN"),
    "too short": (".wav", lambda p: write(p, sound(0.05)), "too short: 0.050 s, wanted 0.1"),
    "8-bit": (".wav", lambda p: write(p, coding="PCM_U8"), "8-bit"),
    "mu-law": (".wav", lambda p: write(p, coding="ULAW"), "8-bit"),
    "low rate": (".wav", lambda p: write(p, rate=4000), "low rate: 4000 Hz has nothing above 2000"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_left_out_with_its_reason(name: str, tmp_path: Path) -> None:
    suffix, spoil, reason = BAD[name]
    bad = tmp_path / f"bad{suffix}"
    spoil(bad)
    with pytest.raises(ValueError, match=rf"none of 1 files can be used .*bad: ({reason})"):
        corpus(tmp_path)
    write(tmp_path / "good.wav")
    write(tmp_path / "well.wav")
    data = corpus(tmp_path)
    assert set(data.scan.seconds) == {"good", "well"}
    assert list(data.scan.rejects) == ["bad"]
    assert data.scan.rejects["bad"].startswith(tuple(reason.split("|")))
    assert f"| bad | {data.scan.rejects['bad']} |" in data.scan.table()


def test_a_folder_without_audio_raises(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no audio in there"):
        corpus(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        corpus(tmp_path / "nowhere")
    write(tmp_path / "only.wav")
    with pytest.raises(ValueError, match="1 clips"):
        corpus(tmp_path)


def test_level_and_trim_are_applied_on_request(tmp_path: Path) -> None:
    edges = np.concatenate([np.zeros(4000), sound(), np.zeros(4000)])
    write(tmp_path / "a.wav", 0.1 * edges)
    write(tmp_path / "b.wav", 0.01 + 0.1 * edges)
    write(tmp_path / "peak.wav", np.where(np.arange(4000) == 2000, 0.9, sound() / 9))
    data = corpus(tmp_path, level=-20.0, trim=30.0)
    loaded = {c.name: c.load().samples / 2**15 for c in [*data._train, *data._held]}
    assert len(loaded["a"]) < 4500
    assert 20 * loaded["a"].square().mean().log10() / 2 == pytest.approx(-20, abs=0.05)
    assert loaded["peak"].abs().max() <= 0.99
    assert "in place of" in data.scan.notes["peak"]


def test_clipping_is_noted(tmp_path: Path) -> None:
    write(tmp_path / "a.wav")
    write(tmp_path / "b.wav", np.clip(20 * sound(), -1, 1))
    data = corpus(tmp_path)
    assert data.scan.notes["b"].startswith("clipped in ")
    assert data.scan.metrics["clipped"] == 1


def test_features_are_computed_once_and_recalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(4):
        write(tmp_path / "audio" / f"{i}.wav", sound(hertz=150 + 20 * i))
    reads: list[str] = []
    read = preparation_module.read
    monkeypatch.setattr(preparation_module, "read", lambda p: reads.append(p.name) or read(p))
    settings = {"cache": str(tmp_path / "cache"), "conditions": ("mel", "f0")}
    first = corpus(tmp_path / "audio", **settings)
    assert len(reads) == 4
    again = corpus(tmp_path / "audio", **settings)
    assert len(reads) == 4
    assert (first.scan.recalled, again.scan.recalled) == (0, 4)
    assert torch.equal(first.train_batch(0, 4, 0).x, again.train_batch(0, 4, 0).x)
    assert again.spec == first.spec
    # A file that changed is read again, alone; one that was damaged in the cache is too.
    changed = write(tmp_path / "audio" / "2.wav", sound(0.6))
    os.utime(changed, ns=(1, 1))
    assert corpus(tmp_path / "audio", **settings).scan.recalled == 3
    for i, kept in enumerate(sorted((tmp_path / "cache").rglob("*.*s"))):
        kept = kept if i % 2 else kept.with_suffix(".npy")  # indices and arrays
        kept.write_bytes(kept.read_bytes()[: 50 * (i % 3)])
    mended = corpus(tmp_path / "audio", **settings)
    assert len(reads) == 9
    assert mended.spec.features == corpus(tmp_path / "audio", **settings).spec.features


def test_an_interrupted_preparation_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(4):
        write(tmp_path / "audio" / f"{i}.wav")
    read, reads = preparation_module.read, []

    def stop(path: Path) -> object:
        if path.name == "2.wav" and not reads:
            reads.append(path)
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(preparation_module, "read", stop)
    with pytest.raises(KeyboardInterrupt):
        corpus(tmp_path / "audio", cache=str(tmp_path / "cache"))
    assert corpus(tmp_path / "audio", cache=str(tmp_path / "cache")).scan.recalled == 2
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_a_cache_that_cannot_be_written_names_the_way_out(tmp_path: Path) -> None:
    write(tmp_path / "audio" / "a.wav")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"data\.cache=null"):
        corpus(tmp_path / "audio", cache=str(tmp_path / "file" / "cache"))


def test_clips_in_memory_prepared_anew_and_mapped_give_the_same_batches(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / "audio" / f"{i}.wav", sound(hertz=150 + 20 * i))
    cache = str(tmp_path / "cache")
    held, lazy = (corpus(tmp_path / "audio", memory=m) for m in (1.0, 0.0))
    for other in (lazy, corpus(tmp_path / "audio", cache=cache, memory=0.0)):
        mine, its = held.train_batch(0, 8, 0), other.train_batch(0, 8, 0)
        assert torch.equal(mine.x, its.x)
        assert torch.equal(mine.features["mel"], its.features["mel"])
        assert torch.equal(next(held.held_out(4)).x, next(other.held_out(4)).x)
        assert other.spec == held.spec
        assert other.identity() == held.identity()


@pytest.mark.slow
def test_several_workers_prepare_the_same(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / f"{i}.wav", sound(hertz=150 + 20 * i))
    (tmp_path / "4.wav").write_bytes(b"")
    one, two = corpus(tmp_path), corpus(tmp_path, workers=2)
    assert two.scan == one.scan
    assert torch.equal(one.train_batch(0, 4, 0).x, two.train_batch(0, 4, 0).x)


def test_digits_carry_speaker_and_label(tmp_path: Path) -> None:
    for name in ("3_theo_0", "7_ann_b_12", "0_ann_b_1", "3_theo_1"):
        write(tmp_path / "recordings" / f"{name}.wav")
    write(tmp_path / "recordings" / "seven.wav")
    settings = {"layout": Digits(), "conditions": ("mel", "speaker", "label")}
    data = corpus(tmp_path, **settings)
    assert data.scan.rejects == {"seven": "another name: wanted {digit}_{speaker}_{index}"}
    assert data.spec.settings["speakers"] == ["ann_b", "theo"]
    assert data.spec.features["label"].size == 10
    clips = {c.name: (c.speaker, c.label) for c in [*data._train, *data._held]}
    assert clips["7_ann_b_12"] == ("ann_b", 7)
    features = next(data.held_out(4)).features
    speaker, label = clips[data.held_out_names[0]]
    assert features["speaker"][0] == ["ann_b", "theo"].index(speaker)
    assert features["label"][0] == label
    plain = corpus(tmp_path, layout=Digits())
    assert plain.held_out_labels == {plain.held_out_names[0]: label}
    assert plain.held_out_speakers == {plain.held_out_names[0]: int(features["speaker"][0])}
    assert corpus(tmp_path / "recordings", **settings).held_out_names == data.held_out_names


def test_the_topmost_folder_is_the_speaker(tmp_path: Path) -> None:
    for name in ("ann/a", "ann/in/b", "bob/c"):
        write(tmp_path / f"{name}.wav")
    data = corpus(tmp_path, conditions=("mel", "speaker"))
    assert data.spec.settings["speakers"] == ["ann", "bob"]
    with pytest.raises(ValueError, match="name 'label', and 3 clips have none"):
        corpus(tmp_path, conditions=("label",))


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data")
def test_real_digits_are_read() -> None:
    data = AudioCorpus(str(SHARED / "fsdd"), Digits(), RATE, 4096, mel=MEL, cache=None)
    assert data.scan.metrics["clips"] == 2000
    assert data.train_batch(0, 8, 0).x.shape == (8, 4096)
