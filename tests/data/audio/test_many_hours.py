"""A thousand hours cost what one hour costs: clips of a small corpus, listed again and again."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distill.data.audio import AnyFolder, AudioCorpus, Layout
from distill.data.audio.layouts import Listing

RATE = 22_050


class Repeated(Layout):
    """Every file of a folder, listed several times under other names."""

    def __init__(self, times: int) -> None:
        self._times = times

    def sources(self, root: Path) -> Listing:
        found, _ = AnyFolder().sources(root)
        again = range(self._times)
        return [source._replace(name=f"{i}/{source.name}") for i in again for source in found], {}


def corpus(folder: Path, times: int, cache: Path | None) -> AudioCorpus:
    return AudioCorpus(
        str(folder),
        Repeated(times),
        sample_rate=RATE,
        crop=7680,
        cache=None if cache is None else str(cache),
    )


def private_memory() -> float:
    """Return the MB that are not those of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def seconds(data: AudioCorpus, first: int, count: int = 20) -> float:
    began = time.process_time()
    for step in range(first, first + count):
        data.train_batch(step, 32, 0)
    return (time.process_time() - began) / count


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "audio").mkdir()
    for i in range(60):
        x = 0.1 * rng.normal(size=int(rng.uniform(3, 9) * RATE))
        soundfile.write(tmp_path / "audio" / f"{i}.wav", x, RATE)
    return tmp_path / "audio"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc")
def test_a_thousand_hours_start_and_run_as_one_hour_does(folder: Path, tmp_path: Path) -> None:
    held = corpus(folder, 1, None)
    corpus(folder, 1, tmp_path / "cache")  # prepares, and imports what is needed for it
    before, began = private_memory(), time.process_time()
    data = corpus(folder, 10_000, tmp_path / "cache")
    start, known = time.process_time() - began, private_memory() - before
    seconds(data, 0)
    settled = private_memory()
    rounds = [(seconds(held, 20 * i), seconds(data, 20 * i)) for i in range(1, 12)]
    grown = private_memory() - settled
    one, thousand = (sorted(column)[1] for column in zip(*rounds, strict=True))
    print(f"start {start:.1f} s and {known:.0f} MB; {grown:.1f} MB more after 220 batches,")
    print(f"each {1e3 * thousand:.2f} ms, in memory {1e3 * one:.2f} ms: {thousand / one:.2f} times")
    assert data.scan.metrics["hours"] > 990
    assert start < 5
    assert known < 600  # of 600,000 clips: names, lengths, and where they lie
    assert grown < 4
    assert thousand < 1.2 * one


def test_a_clip_that_is_listed_twice_is_prepared_once(folder: Path, tmp_path: Path) -> None:
    for path in sorted(folder.iterdir())[4:]:
        path.unlink()
    data = corpus(folder, 3, tmp_path / "cache")
    assert data.scan.metrics["clips"] == 12
    once = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("audio-*/*/*.npy"))
    assert once < 1.01 * sum(path.stat().st_size for path in folder.iterdir())
