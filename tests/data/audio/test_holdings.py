"""The cache: what it holds, and what goes when it is too large."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distill.cli import main
from distill.data.audio import AudioCorpus, LogMel
from distill.data.audio.holdings import holdings, trim

MEL = LogMel(bands=20, fft=256, window=256, hop=64, high=None)


def corpus(home: Path, name: str, **settings: object) -> AudioCorpus:
    folder = home / name
    folder.mkdir(exist_ok=True)
    for i in range(3):
        if not (folder / f"{i}.wav").exists():
            x = 0.1 * np.random.default_rng(i).normal(size=4000)
            soundfile.write(folder / f"{i}.wav", x, 8000)
    usual = {"sample_rate": 8000, "crop": 1024, "mel": MEL, "cache": str(home / "cache")}
    return AudioCorpus(str(folder), **{**usual, **settings})  # type: ignore[arg-type]


def roots(home: Path) -> set[str]:
    return {Path(holding.root).name for holding in holdings(home / "cache")}


def last_used(home: Path, name: str, seconds: float) -> None:
    for holding in holdings(home / "cache"):
        if Path(holding.root).name == name:
            os.utime(holding.folder / ".used", (seconds, seconds))


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    for age, name in ((2, "b"), (1, "a"), (3, "c")):
        corpus(tmp_path, name)
        last_used(tmp_path, name, age)
    size = sum(holding.size for holding in holdings(tmp_path / "cache"))
    assert not trim(tmp_path / "cache", None)
    assert not trim(tmp_path / "cache", size / 1e9)
    assert {Path(gone.root).name for gone in trim(tmp_path / "cache", 0.7 * size / 1e9)} == {"a"}
    assert roots(tmp_path) == {"b", "c"}
    corpus(tmp_path, "b")  # is used again
    trim(tmp_path / "cache", 0.4 * size / 1e9)
    assert roots(tmp_path) == {"b"}


def test_what_is_read_stays_and_what_is_prepared_makes_room(tmp_path: Path) -> None:
    held = corpus(tmp_path, "held")
    corpus(tmp_path, "left")
    assert {Path(h.root).name: h.held for h in holdings(tmp_path / "cache")} == {
        "held": True,
        "left": False,
    }
    new = corpus(tmp_path, "new", cache_limit=0.0)
    assert roots(tmp_path) == {"held", "new"}
    for data in (held, new):
        assert data.train_batch(0, 2, 0).x.isfinite().all()
    del held, data
    trim(tmp_path / "cache", 0.0)
    assert roots(tmp_path) == {"new"}


def use_and_die(home: Path) -> None:
    data = corpus(home, "a")
    data.train_batch(0, 1, 0)
    os._exit(9)


def test_a_process_that_died_holds_nothing(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=use_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert [holding.held for holding in holdings(tmp_path / "cache")] == [False, False]
    trim(tmp_path / "cache", 0.0)
    assert not roots(tmp_path)


def test_files_of_earlier_versions_are_counted_and_go(tmp_path: Path) -> None:
    (tmp_path / "cache" / "0f").mkdir(parents=True)
    (tmp_path / "cache" / "0f" / "abc.bin").write_bytes(bytes(1000))
    (tmp_path / "cache" / "mine").mkdir()
    os.utime(tmp_path / "cache" / "0f" / "abc.bin", (1, 1))
    data = corpus(tmp_path, "new", cache_limit=0.0)
    assert not (tmp_path / "cache" / "0f").exists()
    assert (tmp_path / "cache" / "mine").is_dir()
    assert roots(tmp_path) == {"new"}
    assert data.train_batch(0, 1, 0).x.isfinite().all()


def test_prepare_says_what_the_cache_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus(tmp_path, "other")
    words = ["prepare", "data=audio", "features@data.mel=mel_8k", "data.sample_rate=8000"]
    words += [f"data.path={tmp_path / 'other'}", f"data.cache={tmp_path / 'cache'}"]
    assert main([*words, "data.crop=1024", f"run={tmp_path / 'run'}"]) == 0
    shown = capsys.readouterr().out
    assert "(at most 100 GB, least recently used goes first)" in shown
    rows = [line for line in shown.splitlines() if line.startswith(f"| {tmp_path / 'other'} |")]
    assert sorted(row.split(" | ")[1:3] for row in rows) == [
        ["audio", "3"],
        ["mel", "3"],
        ["mel", "3"],
    ]
