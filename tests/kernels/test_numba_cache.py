"""Numba's cache on disk, where processes compile at the same time."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from numba.core.caching import IndexDataCacheFile

from distill.kernels import jit, numba_cache
from distill.kernels.numba_cache import first_alone, guard_cache


class Slow(IndexDataCacheFile):
    """Reads the index, and is overtaken before it writes."""

    def _load_index(self) -> dict[Any, Any]:
        found: dict[Any, Any] = super()._load_index()
        time.sleep(0.05)
        return found


def test_two_signatures_saved_at_once_keep_their_own_code(tmp_path):
    guard_cache()
    files = [Slow(str(tmp_path), "f", "stamp") for _ in range(4)]
    threads = [
        threading.Thread(target=file.save, args=(f"key {i}", f"code {i}"))
        for i, file in enumerate(files)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fresh = IndexDataCacheFile(str(tmp_path), "f", "stamp")
    assert [fresh.load(f"key {i}") for i in range(4)] == [f"code {i}" for i in range(4)]


def test_code_is_there_before_the_index_names_it(tmp_path, monkeypatch):
    guard_cache()
    file = IndexDataCacheFile(str(tmp_path), "f", "stamp")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(file, "_save_data", full)
    with pytest.raises(OSError, match="space"):
        file.save("key", "code")
    assert IndexDataCacheFile(str(tmp_path), "f", "stamp")._load_index() == {}


def test_what_was_saved_before_is_saved_in_its_place(tmp_path):
    guard_cache()
    file = IndexDataCacheFile(str(tmp_path), "f", "stamp")
    for key, code in (("a", "old"), ("b", "other"), ("a", "new")):
        file.save(key, code)
    assert (file.load("a"), file.load("b")) == ("new", "other")
    assert len(list(tmp_path.glob("*.nbc"))) == 2


def test_a_first_call_waits_for_that_of_another_process_and_later_ones_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(numba_cache, "_begun", set())
    called = threading.Event()

    def call() -> None:
        with first_alone("it", tmp_path):
            called.set()

    with FileLock(tmp_path / ".it.lock"):
        thread = threading.Thread(target=call)
        thread.start()
        assert not called.wait(0.3)
    thread.join(10)
    assert called.is_set()
    with FileLock(tmp_path / ".it.lock"), first_alone("it", tmp_path):
        pass


def test_a_first_call_that_fails_is_no_first_call(tmp_path, monkeypatch):
    monkeypatch.setattr(numba_cache, "_begun", set())
    with pytest.raises(RuntimeError), first_alone("it", tmp_path):
        raise RuntimeError
    assert numba_cache._begun == set()


def test_a_disk_without_locks_stops_nobody(tmp_path, monkeypatch):
    def none(_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(numba_cache, "_begun", set())
    monkeypatch.setattr(FileLock, "acquire", none)
    with first_alone("it", tmp_path):
        IndexDataCacheFile(str(tmp_path), "f", "stamp").save("key", "code")
    assert IndexDataCacheFile(str(tmp_path), "f", "stamp").load("key") == "code"


def test_what_is_kept_holds_for_these_kernels_alone(monkeypatch):
    stamps = []
    for content in ("one", "other"):
        monkeypatch.setattr(jit, "_kernels", lambda content=content: content)
        stamps.append(jit.jit(len_of)._cache._cache_file._source_stamp)
    assert stamps[0] != stamps[1]


def len_of(x):
    return len(x)
