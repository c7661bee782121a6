"""The files of a folder and all below it, and what to call them."""

from __future__ import annotations

import gc
import os
import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")


def audio_files(root: Path) -> list[tuple[str, str]]:
    """Return path and name of the audio files of a folder and all below it, or of a file, in order.

    Errors:
        FileNotFoundError: There is no such folder.
    """
    if root.is_file():
        return named(root.parent, [root.name])
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder. Name one that holds audio.")
    return named(root, files_below(root, SUFFIXES, once=True))


def files_below(root: Path, suffixes: Container[str], once: bool = False) -> list[str]:
    """Return the paths below a folder of the files with a suffix, sorted by their parts.

    What is hidden, by a dot before its name, is passed by: bins, half a download. Linked folders
    are followed, each folder once. Paths are texts: of a million files each microsecond is a
    second.

    Arguments:
        root: The folder.
        suffixes: In lower case; a file's may be in any.
        once: Leave out links to files that are there too: one of the two would be learnt from, and
            the other held out.
    """
    links: set[str] = set()
    below = _below(str(root), "", set(), links)
    found = [path for path in below if suffix_of(path).lower() in suffixes]
    found.sort(key=lambda path: path.split("/"))
    return _once(root, found, links) if once and not links.isdisjoint(found) else found


def _once(root: Path, found: list[str], links: set[str]) -> list[str]:
    known: set[tuple[int, int]] = set()
    kept = set()
    for path in sorted(found, key=links.__contains__):  # files before the links to them
        stat = os.stat(root / path)
        if path not in links or (stat.st_dev, stat.st_ino) not in known:
            kept.add(path)
        known.add((stat.st_dev, stat.st_ino))
    return [path for path in found if path in kept]


def named(root: Path, paths: Sequence[str]) -> list[tuple[str, str]]:
    """Name files by their path below the root, with the suffix only where two would share a name.

    Arguments:
        root: The folder.
        paths: Below it.

    Returns:
        Whole path and name of each.

    Example:
        >>> [name for _, name in named(Path("in"), ["a.wav", "b.wav", "b.npy"])]
        ['a', 'b.wav', 'b.npy']
    """
    names = [path.removesuffix(suffix_of(path)) for path in paths]
    while True:
        count = Counter(names)
        # A whole name may be another file's short one.
        longer = [p if count[n] > 1 else n for p, n in zip(paths, names, strict=True)]
        if longer == names:
            break
        names = longer
    whole = f"{root}/"
    return [(whole + path, _printable(name)) for path, name in zip(paths, names, strict=True)]


def first_column(content: bytes, errors: str = "strict") -> list[str]:
    r"""Return what stands before the first `|` of each line that is not empty.

    Arguments:
        content: Of a list of clips, in UTF-8: a mark of the byte order is no part of a name, nor
            are quotes around it.
        errors: What to do about other encodings, as of `bytes.decode`.

    Example:
        >>> first_column('\ufeff"a.wav"|a text\r\n\r\nb'.encode())
        ['a.wav', 'b']
    """
    lines = content.decode("utf-8-sig", errors).replace("\r", "\n").split("\n")
    names = (line.partition("|")[0].strip() for line in lines if line.strip())
    return [re.sub(r'^"(.+)"$', r"\1", name) for name in names]


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the search for cycles, which would go through a long list again and again as it grows.

    Example:
        >>> with collection_paused():
        ...     gc.isenabled()
        False
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def suffix_of(path: str) -> str:
    """Return the suffix of a path, empty where its name has none.

    Example:
        >>> suffix_of("in.a/b.wav"), suffix_of("in.a/.wav")
        ('.wav', '')
    """
    name = path[path.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


def _below(folder: str, prefix: str, seen: set[tuple[int, int]], links: set[str]) -> Iterator[str]:
    stat = os.stat(folder)
    if (stat.st_dev, stat.st_ino) in seen:
        return
    seen.add((stat.st_dev, stat.st_ino))
    try:
        with os.scandir(folder) as entries:
            inner = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return  # not ours to read
    for entry in inner:
        if entry.name.startswith("."):
            continue
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:
            continue  # a link to itself
        if is_folder:
            yield from _below(entry.path, f"{prefix}{entry.name}/", seen, links)
        elif is_file:
            if entry.is_symlink():
                links.add(prefix + entry.name)
            yield prefix + entry.name


def _printable(name: str) -> str:
    """Return a name that can be written as UTF-8, whatever bytes the file system has."""
    if name.isascii():
        return name
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
