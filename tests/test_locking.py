"""Locks say who holds them, and what to do where there can be none."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from filelock import FileLock

from distill.errors import describe
from distill.locking import LOCK, locked


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_may_only_be_read_is_named_with_a_way_out(
    tmp_path: Path, monkeypatch, number
):
    def refuse(lock: FileLock) -> None:
        raise OSError(number, "not yours to write", lock.lock_file)

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with (
        pytest.raises(PermissionError) as refusal,
        locked(tmp_path / LOCK, "another", "folder with run="),
    ):
        pass
    told = describe(refusal.value)
    assert told.code == 2
    assert told.text.startswith(f"{tmp_path}: wanted a folder that may be written to")
    assert "Name another folder with run=, or copy it" in told.text
    assert LOCK not in told.text
