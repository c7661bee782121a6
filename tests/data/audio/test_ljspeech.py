"""LJ Speech: its layout, and how it is fetched."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from distill.data.audio import AudioCorpus, LJSpeech, ljspeech
from distill.files import sha256_of

from .test_corpus import SHARED, corpus, write


@pytest.mark.parametrize("name", ["LJSpeech-1.1", "another"])
def test_lj_speech_is_read_in_its_layout(name: str, tmp_path: Path) -> None:
    for i in (1, 2, 3):
        write(tmp_path / name / "wavs" / f"LJ001-000{i}.wav")
    rows = [f"LJ001-000{i}|Some text, {i}|Some text" for i in (1, 2, 9)]
    rows.append("LJ001-0002|A caf\xe9|")
    text = b"\xef\xbb\xbf" + "\r\n".join(rows).encode("latin-1")
    (tmp_path / name / "metadata.csv").write_bytes(text)
    data = corpus(tmp_path / name, layout=LJSpeech())
    assert set(data.scan.seconds) == {"LJ001-0001", "LJ001-0002", "LJ001-0003"}
    assert data.scan.rejects == {"LJ001-0009": "missing: metadata.csv lists it"}
    if name == "LJSpeech-1.1":
        assert corpus(tmp_path, layout=LJSpeech()).scan == data.scan
    else:
        with pytest.raises(FileNotFoundError, match=r"data\.layout\.download=true"):
            corpus(tmp_path, layout=LJSpeech())


def test_lj_speech_is_fetched_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    write(tmp_path / "made" / "LJSpeech-1.1" / "wavs" / "LJ001-0001.wav")
    archive = tmp_path / "corpus.tar.bz2"
    with tarfile.open(archive, "w:bz2") as tar:
        tar.add(tmp_path / "made" / "LJSpeech-1.1", "LJSpeech-1.1")
    monkeypatch.setattr(ljspeech, "URL", archive.as_uri())
    with pytest.raises(RuntimeError, match="hash"):
        corpus(tmp_path / "here", layout=LJSpeech(download=True))
    assert not list((tmp_path / "here").iterdir())
    monkeypatch.setattr(ljspeech, "SHA256", sha256_of(archive))
    sources, missing = LJSpeech(download=True).sources(tmp_path / "here")
    assert [source.name for source in sources] == ["LJ001-0001"]
    assert not missing
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["LJSpeech-1.1"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data")
def test_real_lj_speech_is_read() -> None:
    data = AudioCorpus(str(SHARED / "LJSpeech-1.1"), LJSpeech(), cache=None, held_out=0.05)
    assert data.scan.metrics["clips"] == 26
    assert data.scan.metrics["hours"] * 3600 == pytest.approx(180, abs=1)
    assert len(data.held_out_names) == 2
    assert not data.scan.rejects
