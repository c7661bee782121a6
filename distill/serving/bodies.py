"""What a client sends in one request, turned into frames."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import soundfile

from distill.serving.frames import FrameLayout
from distill.serving.refusal import Refusal
from distill.serving.sources import read_rows

_SAMPLES = 2**26
"""Most samples of decoded audio, all channels together: a compressed body can hide any number."""
_AUDIO = {b"RIFF": ".wav", b"fLaC": ".flac"}


def is_audio(path: Path) -> bool:
    """Return whether a body is audio, by its first bytes."""
    return _head(path)[:4] in _AUDIO


def rows_of(path: Path, layout: FrameLayout, seconds: float) -> np.ndarray:
    """Return the frames `(F, width)` of a body: .npy, JSON, wav or flac, by its first bytes.

    An array has the features of a frame side by side; JSON is an object with a list of frames for
    each feature (`{"mel": [[...], ...]}`); of audio, mel and F0 are computed. What a model can do
    without may be missing.

    Arguments:
        path: Where it lies.
        layout: Of the model's frames.
        seconds: Longest sound.

    Errors:
        Refusal: No kind that is known (415); too long (413).
        ValueError: What can't be used.
    """
    if is_audio(path):
        rows = _audio(path, layout, seconds)
        _check_length(layout.seconds(len(rows)), seconds)
        return layout.complete(rows)
    body = path.read_bytes()
    if body[:6] == b"\x93NUMPY":
        rows = _npy(body, layout)
    elif body.lstrip()[:1] == b"{":
        rows = _json(body, layout)
    else:
        what = "an empty body" if not body else "something else"
        raise Refusal(
            415,
            f'body: wanted a mel (.npy, or JSON as in {{"mel": [[...], ...]}}) or audio (wav, '
            f"flac), got {what}.",
        )
    _check_length(layout.seconds(len(rows)), seconds)
    return layout.complete(rows)


def _check_length(got: float, most: float) -> None:
    if got > most:
        raise Refusal(
            413,
            f"body: {got:.1f} s of sound, the limit is {most:g} s. Send it in parts, or use the "
            "websocket /stream.",
        )


def _audio(body: Path, layout: FrameLayout, seconds: float) -> np.ndarray:
    try:
        with soundfile.SoundFile(body) as file:
            samples, rate, channels = file.frames, file.samplerate, file.channels
    except soundfile.SoundFileError as error:
        reason = str(error).replace(str(body), "it").replace(repr(str(body)), "it")
        raise ValueError(f"body: unreadable audio ({reason}).") from None
    _check_length(samples / rate, seconds)
    if samples * channels > _SAMPLES:
        raise Refusal(413, f"body: {samples} samples of {channels} channels; send one channel.")
    # The readers of files go by suffixes.
    path = body.with_name(f"{body.name}{_AUDIO[_head(body)[:4]]}")
    path.symlink_to(body)
    try:
        return read_rows(path, layout)
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), "body")) from None
    finally:
        path.unlink()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _npy(body: bytes, layout: FrameLayout) -> np.ndarray:
    # The header is read first: it may promise any size, and NumPy would ask for that memory.
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"its version is {version}")
        shape, _, dtype = read(stream)
        promised, there = math.prod(shape) * dtype.itemsize, len(body) - stream.tell()
        if dtype.hasobject or promised != there:
            raise ValueError(f"it promises {promised} bytes of {dtype} and holds {there}")
        stream.seek(0)
        values = np.load(stream, allow_pickle=False)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"body: can't be read as .npy ({error}).") from None
    return layout.rows(values, "body")


def _json(body: bytes, layout: FrameLayout) -> np.ndarray:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"body: can't be read as JSON ({error}).") from None
    layout = layout.holding(found)
    if set(found) != set(layout.sizes):
        raise ValueError(
            f"body: wanted a JSON object with {', '.join(layout.sizes)} alone, got "
            f"{', '.join(found) or 'nothing'}. Seed, temperature and labels go into the query."
        )
    parts = []
    for name, size in layout.sizes.items():
        try:
            part = np.asarray(found[name])
        except ValueError:
            part = np.empty(0)
        if part.dtype.kind not in "fiu" or part.ndim != 2 or part.shape[1] != size:
            raise ValueError(f"body: wanted {name}, a list of frames of {size} numbers each.")
        parts.append(part)
    if len({len(part) for part in parts}) > 1:
        raise ValueError(f"body: wanted as many frames of each of {', '.join(layout.sizes)}.")
    return layout.rows(np.concatenate(parts, axis=1), "body")
