"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROBE = 2**16
_DRAFT = re.compile(r"\..*?(\d+)-\d+\.part(?:\.[^.]*)?")
_number = itertools.count()
_swept: set[Path] = set()


class FullDiskError(OSError):
    """There is no room for a file."""


@contextmanager
def atomic_write(path: str | Path, durable: bool = True) -> Iterator[Path]:
    """Give a temporary file beside a path, which takes its place once it is whole.

    The old file stays as it was until then, and whatever goes wrong: an error, an interruption, a
    full disk, a power cut. The temporary file is removed on every failure; one that a killed
    process left is removed by the next writer in the same folder.

    Arguments:
        path: The file to write; folders on the way are made, a link is followed.
        durable: Wait until the disk has it. What can be made again may do without.

    Errors:
        FullDiskError: No room; the message names the file and what is free.
        OSError: The folder can't be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> with atomic_write(Path(folder.name) / "a.txt") as draft:
        ...     _ = draft.write_text("whole")
        >>> [file.name for file in Path(folder.name).iterdir()]
        ['a.txt']
        >>> folder.cleanup()
    """
    target = Path(os.path.realpath(path))
    draft = _draft_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder, wanted a file", str(path))
        if target.parent not in _swept:
            remove_drafts(target.parent)
        draft.open("xb").close()
    except OSError as error:
        _refuse(error, target, None)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    try:
        yield draft
        if durable:
            _sync(draft)
        draft.replace(target)
    except Exception as error:
        _refuse(error, target, draft)
        raise
    finally:
        draft.unlink(missing_ok=True)
    if durable and os.name == "posix":
        with suppress(OSError):  # some file systems don't sync folders
            _sync(target.parent)


@contextmanager
def second_name(path: Path) -> Iterator[Path | None]:
    """Lend a second name of a file: whoever replaces the first can put it back without any room.

    It is `None` where there is no file, and gone afterwards.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name) / "a.txt"
        >>> write_text(file, "old")
        >>> with second_name(file) as old:
        ...     write_text(file, "new")
        ...     _ = old.replace(file)
        >>> file.read_text()
        'old'
        >>> folder.cleanup()
    """
    if not path.is_file():
        yield None
        return
    second = _draft_of(path)
    try:
        try:
            os.link(path, second)
        except OSError:  # a file system without links
            shutil.copyfile(path, second)
        yield second
    finally:
        second.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: str | Path, values: Any) -> None:
    """Write JSON in UTF-8, whole or not at all; what is no Unicode, as in names, is escaped."""
    text = json.dumps(values, indent=2, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        text = json.dumps(values, indent=2)
    write_text(path, text + "\n")


def read_text(path: Path) -> str:
    """Read a text in UTF-8.

    Errors:
        FileNotFoundError: No file is there; of a pipe in its place, the end would never come.
    """
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
    return path.read_text(encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_full(error: BaseException | None) -> bool:
    """Return whether an error, or one that it came from, says that there is no room."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def remove_drafts(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder."""
    _swept.add(folder)
    for left in folder.iterdir():
        found = _DRAFT.fullmatch(left.name)
        if found and not _alive(int(found[1])):
            left.unlink(missing_ok=True)


def _refuse(error: Exception, target: Path, draft: Path | None) -> None:
    """Raise where the reason is a full disk, which C++ writers don't say."""
    if isinstance(error, FullDiskError):
        raise error
    told = is_full(error) or isinstance(error, ValueError)
    if is_full(error) or (draft is not None and not told and _no_room(target.parent)):
        size = draft.stat().st_size if draft is not None and draft.exists() else 0
        raise FullDiskError(
            f"{target}: no space left: {_megabytes(size)} were written and "
            f"{_megabytes(_free(target.parent) + size)} are free there. Free some, or name another "
            "folder; what stood there before is whole."
        ) from error


def _draft_of(target: Path) -> Path:
    return target.with_name(
        f".{target.stem[:80]}.{os.getpid()}-{next(_number)}.part{target.suffix}"
    )


def _no_room(folder: Path) -> bool:
    probe = folder / f".{os.getpid()}-{next(_number)}.part"
    try:
        probe.write_bytes(bytes(_PROBE))
    except OSError as error:
        return error.errno in _FULL
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
    return False


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(process: int) -> bool:
    if os.name != "posix":
        return True  # there os.kill would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
