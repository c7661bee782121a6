"""What a container promises, against what its file holds: libsndfile reads on silently."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_OPEN = 0x7FFFF000
"""From here on a length is none: writers to a pipe leave 0, 0x7FFFF000 (SoX) or 0xFFFFFFFF."""
_SAMPLES = re.compile(rb"^(sample_count|sample_n_bytes|channel_count) -i (\d+)", re.MULTILINE)


def lacking(path: Path) -> str | None:
    """Return what a sound file lacks, `None` where it is whole or its container doesn't tell.

    Arguments:
        path: Of a file that can be opened.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(24)
        kind, form = head[:4], head[8:12]
        if kind in (b"RIFF", b"RF64") and form == b"WAVE":
            ends = _riff_ends(file, head, size)
        elif kind == b"FORM" and form in (b"AIFF", b"AIFC"):
            ends = iter([struct.unpack(">I", head[4:8])[0] + 8])
        elif kind == b"riff" and len(head) == 24:  # Sony's, of 64 bits
            ends = iter(struct.unpack("<Q", head[16:]))
        elif kind == b".snd" and len(head) == 24:
            ends = iter([sum(struct.unpack(">II", head[4:12]))])
        elif head[:7] == b"NIST_1A":
            ends = _nist_ends(file)
        elif kind == b"OggS":
            return _lacking_of_ogg(file, size)
        else:
            return None
        wide = kind in (b"RF64", b"riff")
        promised = max((end for end in ends if end < _OPEN or wide), default=0)
    return f"{size} of {promised} bytes" if promised > size else None


def _riff_ends(file: BinaryIO, head: bytes, size: int) -> Iterator[int]:
    """Yield where the file ends by its header, and where its samples do."""
    yield struct.unpack("<I", head[4:8])[0] + 8 if head[:4] == b"RIFF" else 0
    place = 12
    while place + 8 <= size:
        file.seek(place)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            whole, samples = struct.unpack("<QQ", sizes)
            yield from (whole + 8, samples)
        if name == b"data":
            yield place + 8 + length if length < _OPEN else 0
            return
        place += 8 + length + length % 2


def _nist_ends(file: BinaryIO) -> Iterator[int]:
    file.seek(8)
    count = file.read(8).strip()
    begin = int(count) if count.isdigit() else 1024
    file.seek(0)
    said = {name: int(number) for name, number in _SAMPLES.findall(file.read(begin))}
    if len(said) == 3:
        yield begin + said[b"sample_count"] * said[b"sample_n_bytes"] * said[b"channel_count"]


def _lacking_of_ogg(file: BinaryIO, size: int) -> str | None:
    file.seek(max(0, size - 65_536))
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0 or page + 6 > len(tail) or not tail[page + 5] & 4:
        return "the last page is missing"
    begun, place = False, 0
    while found := _page(file, place):
        flags, end = found
        if begun and flags & 2:
            return f"only the first of several streams would be read, {place} of {size} bytes"
        begun, place = begun or not flags & 2, end
    return None


def _page(file: BinaryIO, place: int) -> tuple[int, int] | None:
    """Return flags and end of a page."""
    file.seek(place)
    head = file.read(27)
    if len(head) < 27 or head[:4] != b"OggS":
        return None
    return head[5], place + 27 + head[26] + sum(file.read(head[26]))
