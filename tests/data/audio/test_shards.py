"""Prepared corpora on disk: killed anywhere they go on, and each clip is prepared once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distill.data.audio import AudioCorpus, LogMel, columns, preparation, shards
from distill.data.audio.columns import Column, pairs
from distill.data.audio.files import UnusableError
from distill.data.audio.shards import Entry, mapped, write_shard

MEL = LogMel(bands=20, fft=256, window=256, hop=64, high=None)


def write(folder: Path, names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        x = 0.1 * np.random.default_rng(ord(name)).normal(size=1500 + 10 * ord(name))
        soundfile.write(folder / f"{name}.wav", x, 8000)


def corpus(folder: Path, **settings: object) -> AudioCorpus:
    usual = {"sample_rate": 8000, "crop": 1024, "mel": MEL, "cache": str(folder.parent / "cache")}
    return AudioCorpus(str(folder), **{**usual, **settings})  # type: ignore[arg-type]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    read = preparation.read
    monkeypatch.setattr(preparation, "read", lambda p: seen.append(p.stem) or read(p))
    return seen


def entry(key: int, *values: float) -> Entry:
    return Entry(bytes([key] * 16), torch.tensor(values)[:, None], 8000, 0, ["odd"] * (key % 2))


def keys(*numbers: int) -> np.ndarray:
    return pairs(b"".join(bytes([number] * 16) for number in numbers))


def test_a_column_finds_clips_of_all_its_shards_by_key(tmp_path: Path) -> None:
    write_shard(tmp_path / "here", [entry(1, 1.0, 2.0), Entry(bytes([2] * 16), None, notes=["no"])])
    write_shard(tmp_path / "there", [entry(3, 3.0), entry(0, 4.0, 5.0, 6.0)])
    column = Column(tmp_path)
    first, out, third, last, gone = column.find(keys(1, 2, 3, 0, 9)).tolist()
    values = {
        row: np.load(p.path)[p.start : p.stop]
        for row in (first, third, last)
        for p in [column.place(row)]
    }
    assert values[first].tolist() == [[1.0], [2.0]]
    assert values[third].tolist() == [[3.0]]
    assert values[last].tolist() == [[4.0], [5.0], [6.0]]
    assert (column.count[out], gone) == (-1, -1)
    assert {first: ["odd"], out: ["no"], third: ["odd"]} == column.notes


def test_what_is_written_to_a_mapped_array_does_not_reach_its_file(tmp_path: Path) -> None:
    path = write_shard(tmp_path, [entry(1, 1.0, 2.0)])
    mapped(path).zero_()
    assert mapped(path).tolist() == np.load(path).tolist() == [[1.0], [2.0]]


def test_a_shard_counts_once_its_index_is_there_and_its_array_whole(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "here", [entry(1, 1.0, 2.0)])
    index = path.with_suffix(shards.INDEX)
    whole = {file: file.read_bytes() for file in (path, index)}
    for file, content in whole.items():
        for spoiled in (b"", content[:-1], None):
            file.unlink() if spoiled is None else file.write_bytes(spoiled)
            assert Column(tmp_path).find(keys(1)).tolist() == [-1]
            file.write_bytes(content)
    assert Column(tmp_path).find(keys(1)).tolist() == [0]


def die(*_: object) -> None:
    os._exit(9)


def die_at(number: int, function: Callable) -> Callable:
    calls = []

    def wrapped(*arguments: object, **named: object) -> object:
        calls.append(0)
        return die() if len(calls) == number else function(*arguments, **named)

    return wrapped


def killed(folder: Path, where: str) -> None:
    columns._PATIENCE = 0.0  # a shard for each clip
    if where == "reading":
        preparation.read = die_at(4, preparation.read)
    elif where == "writing an array":
        shards.np.ascontiguousarray = die_at(5, np.ascontiguousarray)
    else:
        shards.np.save = die_at(5, np.save)
    corpus(folder)


@pytest.mark.parametrize("where", ["reading", "writing an array", "writing an index"])
def test_a_killed_preparation_goes_on_where_it_was(
    where: str, tmp_path: Path, reads: list[str]
) -> None:
    write(tmp_path / "audio", "abcdef")
    process = multiprocessing.get_context("spawn").Process(
        target=killed, args=(tmp_path / "audio", where)
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    data = corpus(tmp_path / "audio")
    assert 0 < len(reads) < 6
    assert data.scan.recalled in (6 - len(reads), 5 - len(reads))  # the mel may be missing alone
    plain = corpus(tmp_path / "audio", cache=None)
    assert torch.equal(data.train_batch(0, 8, 0).x, plain.train_batch(0, 8, 0).x)
    assert data.identity() == plain.identity()
    assert not list((tmp_path / "cache").rglob("*.part*"))


def test_a_corpus_that_grows_is_prepared_for_the_new_files_alone(
    tmp_path: Path, reads: list[str]
) -> None:
    write(tmp_path / "audio", "abc")
    corpus(tmp_path / "audio")
    write(tmp_path / "audio", "xy")
    for name in "abc":  # written anew, and no other
        os.utime(tmp_path / "audio" / f"{name}.wav", ns=(1, 1))
    corpus(tmp_path / "audio")
    del reads[:]
    write(tmp_path / "audio", "z")
    assert corpus(tmp_path / "audio").scan.recalled == 5
    assert reads == ["z"]


def test_a_feature_that_is_added_leaves_the_others_as_they_are(
    tmp_path: Path, reads: list[str]
) -> None:
    write(tmp_path / "audio", "abc")
    corpus(tmp_path / "audio")
    data = corpus(tmp_path / "audio", mel=LogMel(bands=10, fft=256, window=256, hop=64, high=None))
    assert reads == ["a", "b", "c"]
    assert data.spec.features["mel"].size == 10
    assert data.scan.recalled == 0


def test_what_is_left_out_for_its_content_is_not_read_again(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "audio", "abc")
    soundfile.write(tmp_path / "audio" / "silent.wav", np.zeros(4000), 8000)
    first = corpus(tmp_path / "audio")
    again = corpus(tmp_path / "audio")
    assert sorted(reads) == ["a", "b", "c", "silent"]
    assert again.scan.rejects == first.scan.rejects
    assert again.scan.rejects["silent"].startswith("silent: digital silence")
    # What could not be read may be readable the next time.
    write(tmp_path / "audio", "d")

    def refuse(path: Path) -> None:
        raise UnusableError("unreadable: out of reach")

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "read", refuse)
        assert corpus(tmp_path / "audio").scan.rejects["d"] == "unreadable: out of reach"
    assert corpus(tmp_path / "audio").scan.metrics["clips"] == 4


def test_several_processes_prepare_each_file_once_and_the_same(tmp_path: Path) -> None:
    write(tmp_path / "audio", "abcdefgh")
    (tmp_path / "audio" / "i.wav").write_bytes(b"")
    two = corpus(tmp_path / "audio", workers=2)
    one = corpus(tmp_path / "audio", cache=None)
    assert two.scan == one.scan
    assert torch.equal(one.train_batch(0, 4, 0).x, two.train_batch(0, 4, 0).x)
    kept = [i for column in (tmp_path / "cache" / "shards").iterdir() for i in _keys(column)]
    assert len(kept) == len(set(kept)) == 9 + 8
    assert corpus(tmp_path / "audio").scan.recalled == 8


def _keys(folder: Path) -> list[tuple]:
    return [(folder.name, *key) for key in Column(folder)._keys.tolist()]
