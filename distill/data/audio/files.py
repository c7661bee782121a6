"""Audio files: read them, and say what is wrong with one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from distill.data.audio.containers import lacking

_EIGHT_BITS = ("PCM_S8", "PCM_U8", "ULAW", "ALAW", "DPCM_8")
_FOUR_BITS = ("IMA_ADPCM", "MS_ADPCM", "VOX_ADPCM", "G721_32", "G723_24", "G723_40", "GSM610")
_BLOCK = 2**18
_UNKNOWN = 2**60
"""A container of unknown length promises the largest number that it can write."""
_LOUDEST = 4.0
"""Beyond this, floats are numbers of another scale, and no loud sound."""


class UnusableError(ValueError):
    """A file that is left out, with the reason."""


@dataclass(frozen=True)
class Recording:
    """Samples `(T, channels)` in float32 with full scale 1, their rate in Hz and their coding."""

    samples: np.ndarray
    rate: int
    coding: str


def read(path: Path) -> Recording:
    """Read a file.

    Errors:
        UnusableError: It is empty, unreadable, truncated, constant, of 8 bits or fewer, longer than
            memory, holds NaN, or floats of another scale.
    """
    try:
        if not path.stat().st_size:
            raise UnusableError("empty: 0 bytes")
        # As bytes, since a name need not be UTF-8.
        with _Forward(os.fsencode(path) if os.name == "posix" else str(path)) as file:
            coding, rate, promised = file.subtype, file.samplerate, file.frames
            samples = _samples(file, _most() // file.channels)
        cut = lacking(path)
    except UnusableError:
        raise
    except (OSError, soundfile.SoundFileError, ValueError, MemoryError) as error:
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or error
        raise UnusableError(f"unreadable: {str(reason).strip().rstrip('.')}") from None
    if not len(samples):
        raise UnusableError("empty: no samples")
    if len(samples) < promised < _UNKNOWN:
        cut = f"{len(samples)} of {promised} samples"
    if cut:
        raise UnusableError(f"truncated: {cut}")
    if coding in (*_EIGHT_BITS, *_FOUR_BITS):
        bits = "8-bit" if coding in _EIGHT_BITS else "4-bit"
        raise UnusableError(
            f"{bits} ({coding}): its own noise would be learned; wanted 16 bits or more"
        )
    if not np.isfinite(samples).all():
        raise UnusableError(f"NaN or infinity in {int((~np.isfinite(samples)).sum())} samples")
    low, high = float(samples.min()), float(samples.max())
    if max(-low, high) > _LOUDEST:
        raise UnusableError(
            f"beyond full scale: floats up to {max(-low, high):,.0f}, where full scale is 1; "
            "divide them first (16-bit numbers by 32768)"
        )
    if low == high != 0:
        raise UnusableError(f"constant: every sample is {low:g}")
    return Recording(samples, rate, coding)


class _Forward(soundfile.SoundFile):
    """Read from front to back: in a FLAC of unknown length a seek fails."""

    def seekable(self) -> bool:
        """Say that it is not, which keeps `read` from it."""
        return False


def _samples(file: soundfile.SoundFile, most: int) -> np.ndarray:
    """Read to the end, whatever length the container promises; a small file can hide any number."""
    blocks, count = [], file.frames if file.frames < _UNKNOWN else 0
    while count <= most:
        block = file.read(_BLOCK, dtype="float32", always_2d=True)
        blocks.append(block)
        if len(block) < _BLOCK:
            return np.concatenate(blocks)
        count = max(count, _BLOCK * len(blocks))
    raise UnusableError(
        f"too long: more than {most:,} samples of {file.channels} channels, which would fill the "
        "memory"
    )


def _most() -> int:
    """Return how many samples half of the memory holds."""
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        memory = 2**34
    return memory // 8
