"""Decoding of request bodies into frames: .npy, JSON, wav or flac."""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from distill.arrays import read_npy
from distill.data.audio.frame_files import rows_of_frames
from distill.frames import FrameLayout
from distill.serving.http_error import HTTPError
from distill.serving.json_once import read_json
from distill.serving.sources import read_rows

_SAMPLES = 2**26
"""Most samples of decoded audio, all channels together: a compressed body can hide any number."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_AUDIO = {b"RIFF": ".wav", b"fLaC": ".flac"}


def is_audio(path: Path) -> bool:
    """Return whether a body is audio, by its first bytes."""
    return _head(path)[:4] in _AUDIO


def read_body(path: Path, layout: FrameLayout, seconds: float) -> np.ndarray:
    """Return the frames `(F, width)` of a body: .npy, JSON, wav or flac, by its first bytes.

    An array and a JSON object (`{"mel": [[...], ...]}`) are read as `read_frames` reads those in
    files; of audio, mel and F0 are computed.

    Arguments:
        path: Where it lies.
        layout: Of the model's frames, of whole values.
        seconds: Longest sound.

    Errors:
        HTTPError: No kind that is known (415); too long (413).
        ValueError: What can't be used.
    """
    if is_audio(path):
        rows = _audio(path, layout, seconds)
    else:
        rows = rows_of_frames(_content(path.read_bytes()), layout, "body")
    _check_length(layout.seconds(len(rows)), seconds)
    return rows


def _content(body: bytes) -> Any:
    if body[:6] == b"\x93NUMPY":
        return _npy(body)
    if body.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"{" or body[:2] in _UTF16:
        return _json(body)
    what = "an empty body" if not body else "something else"
    raise HTTPError(
        415,
        f'body: wanted frames (.npy, or JSON as in {{"mel": [[...], ...]}}) or audio (wav, '
        f"flac), got {what}.",
    )


def _check_length(got: float, most: float) -> None:
    if got > most:
        raise HTTPError(
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
        raise HTTPError(413, f"body: {samples} samples of {channels} channels; send one channel.")
    # The readers of files go by suffixes.
    path = body.with_name(f"{body.name}{_AUDIO[_head(body)[:4]]}")
    path.symlink_to(body)
    try:
        return read_rows(path, layout, "body")
    finally:
        path.unlink()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _npy(body: bytes) -> np.ndarray:
    try:
        return read_npy(io.BytesIO(body), len(body))
    except ValueError as error:
        raise ValueError(f"body: can't be read as .npy ({error}).") from None


def _json(body: bytes) -> dict[str, Any]:
    try:
        return read_json(body, parse_int=float)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"body: can't be read as JSON ({error}).") from None
