"""Audio files: find them, read them, and say what is wrong with one."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

SUFFIXES = (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav")
_EIGHT_BITS = ("PCM_S8", "PCM_U8", "ULAW", "ALAW", "DPCM_8")


class UnusableError(ValueError):
    """A file that is left out, with the reason."""


@dataclass(frozen=True)
class Recording:
    """Samples `(T, channels)` in float32 with full scale 1, their rate in Hz and their coding."""

    samples: np.ndarray
    rate: int
    coding: str


def audio_files(root: Path) -> list[Path]:
    """Return the audio files of a folder and all below it, or a file itself, in order.

    Errors:
        FileNotFoundError: There is no such folder.
    """
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder. Name one that holds audio.")
    return sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def read(path: Path) -> Recording:
    """Read a file.

    Errors:
        UnusableError: It is empty, unreadable, truncated, of 8 bits, or holds NaN.
    """
    try:
        if not path.stat().st_size:
            raise UnusableError("empty: 0 bytes")
        with soundfile.SoundFile(str(path)) as file:
            coding, rate, promised = file.subtype, file.samplerate, file.frames
            samples = file.read(dtype="float32", always_2d=True)
        cut = _truncated(path)
    except (OSError, soundfile.SoundFileError) as error:
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
        raise UnusableError(f"unreadable: {str(reason).strip().rstrip('.')}") from None
    if not len(samples):
        raise UnusableError("empty: no samples")
    if len(samples) < promised:
        cut = f"{len(samples)} of {promised} samples"
    if cut:
        raise UnusableError(f"truncated: {cut}")
    if coding in _EIGHT_BITS:
        raise UnusableError(
            f"8-bit ({coding}): its own noise would be learned; wanted 16 bits or more"
        )
    if not np.isfinite(samples).all():
        raise UnusableError(f"NaN or infinity in {int((~np.isfinite(samples)).sum())} samples")
    return Recording(samples, rate, coding)


def _truncated(path: Path) -> str | None:
    """Compare what a container promises with what the file holds; libsndfile reads on silently."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            promised = struct.unpack("<I", head[4:8])[0] + 8
            # Writers to a pipe leave 0 or the largest number there.
            if size < promised < 0xFFFFFFF0:
                return f"{size} of {promised} bytes"
        elif head[:4] == b"OggS":
            file.seek(max(0, size - 65_536))
            tail = file.read()
            page = tail.rfind(b"OggS")
            if page < 0 or page + 6 > len(tail) or not tail[page + 5] & 4:
                return "the last page is missing"
    return None
