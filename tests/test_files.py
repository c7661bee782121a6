"""Files appear whole or not at all, whatever goes wrong."""

from __future__ import annotations

import ast
import errno
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import distill.files
from distill.errors import describe
from distill.files import FullDiskError, atomic_write, remove_drafts, write_json, write_text
from distill.interruption import Interrupted, interruptible


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    for text in ("old", "new"):
        write_text(tmp_path / "deep" / "a.txt", text)
    assert (tmp_path / "deep" / "a.txt").read_text() == "new"
    assert names(tmp_path / "deep") == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), KeyboardInterrupt()])
def test_after_a_failure_the_old_file_is_whole_and_nothing_else_is_there(tmp_path, error):
    write_text(tmp_path / "a.txt", "old")

    def write() -> None:
        with atomic_write(tmp_path / "a.txt") as draft:
            draft.write_text("ne")
            raise error

    with pytest.raises(type(error)):
        write()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def refusing_disk(draft: Path) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def failing_torch(draft: Path) -> None:
    try:
        refusing_disk(draft)
    finally:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos")


@pytest.mark.parametrize("write", [refusing_disk, failing_torch])
def test_a_full_disk_is_one_line_that_names_file_and_space(tmp_path, write):
    write_text(tmp_path / "a.pt", "old")
    with pytest.raises(FullDiskError) as caught, atomic_write(tmp_path / "a.pt") as draft:
        write(draft)
    described = describe(caught.value)
    assert described.code == 2
    assert str(tmp_path / "a.pt") in described.text
    assert "MB are free" in described.text
    assert (tmp_path / "a.pt").read_text() == "old"
    assert names(tmp_path) == ["a.pt"]


def test_a_writer_that_hides_the_reason_is_asked_by_a_probe(tmp_path, monkeypatch):
    def write_bytes(path: Path, content: bytes) -> int:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(FullDiskError), atomic_write(tmp_path / "a.wav"):
        raise soundfile.SoundFileRuntimeError("System error.")
    assert names(tmp_path) == []


def names_its_encoding(call: ast.Call) -> bool:
    """Whether a call opens bytes, or a text in an encoding that it names, or opens nothing."""
    function = ast.unparse(call.func)
    said = [ast.unparse(part) for part in (*call.args, *(k.value for k in call.keywords))]
    if function.rpartition(".")[2] not in ("open", "read_text", "write_text"):
        return True
    if function in ("os.open", "read_text", "write_text"):  # the last two are ours
        return True
    return any(text.lower().startswith(("'utf-8", "'rb'", "'wb'", "'xb'")) for text in said)


def test_every_text_is_opened_in_a_named_encoding():
    for path in Path(distill.files.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert [ast.unparse(call) for call in calls if not names_its_encoding(call)] == [], path
    assert not names_its_encoding(ast.parse("file.open('w')", mode="eval").body)


def test_an_ordinary_error_stays_itself(tmp_path):
    with pytest.raises(RuntimeError, match="ours"), atomic_write(tmp_path / "a.txt"):
        raise RuntimeError("ours")


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    write_text(tmp_path / "real" / "a.txt", "old")
    (tmp_path / "a.txt").symlink_to(tmp_path / "real" / "a.txt")
    write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"


def test_every_writer_finds_its_suffix_on_the_draft(tmp_path):
    with atomic_write(tmp_path / "a.npy") as draft:
        np.save(draft, np.ones(3))
    with atomic_write(tmp_path / "a.wav") as draft:
        soundfile.write(draft, np.zeros(10), 8000)
    with atomic_write(tmp_path / "a.pt") as draft:
        torch.save(torch.ones(2), draft)
    write_json(tmp_path / "é.json", {"é": 1})
    assert names(tmp_path) == ["a.npy", "a.pt", "a.wav", "é.json"]
    assert "é" in (tmp_path / "é.json").read_text(encoding="utf-8")


def test_drafts_of_dead_processes_are_swept_and_those_of_living_ones_stay(tmp_path):
    (tmp_path / ".a.999999999-0.part.wav").write_text("")
    living = tmp_path / f".a.{os.getppid()}-0.part.wav"
    living.write_text("")
    (tmp_path / "mine.part").write_text("")
    remove_drafts(tmp_path)
    assert names(tmp_path) == [living.name, "mine.part"]


def test_a_folder_in_the_way_and_a_folder_that_is_a_file_are_named(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match="a folder"):
        write_text(tmp_path / "a.txt", "x")
    (tmp_path / "b").write_text("")
    with pytest.raises(OSError) as caught:
        write_text(tmp_path / "b" / "c.txt", "x")
    assert "c.txt" in describe(caught.value).text


def test_the_new_name_waits_until_the_disk_has_the_file(tmp_path, monkeypatch):
    order = []
    sync, replace = distill.files._sync, Path.replace
    monkeypatch.setattr(distill.files, "_sync", lambda path: (order.append("sync"), sync(path)))
    monkeypatch.setattr(
        Path, "replace", lambda path, to: (order.append("rename"), replace(path, to))
    )
    write_text(tmp_path / "a.txt", "x")
    assert order == ["sync", "rename", "sync"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_removes_the_draft_and_has_its_code(tmp_path, number, code):
    with (
        pytest.raises(Interrupted) as caught,
        interruptible(),
        atomic_write(tmp_path / "a.txt"),
    ):
        signal.raise_signal(number)
    assert describe(caught.value).code == code
    assert names(tmp_path) == []


class SignalledInItsEnd:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_that_falls_into_a_destructor_is_not_lost(capsys):
    def work() -> None:
        SignalledInItsEnd()
        time.sleep(10)

    began = time.monotonic()
    with pytest.raises(Interrupted), interruptible():
        work()
    assert time.monotonic() - began < 5  # it ends what waits
    assert capsys.readouterr().err == ""


def test_a_noted_signal_waits_and_a_second_one_does_not():
    former = signal.getsignal(signal.SIGTERM)
    with interruptible(at_once=False) as request:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted):
            request.check()
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == former
