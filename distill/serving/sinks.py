"""Where samples go as they are made: a wav file, a pipe, a sound card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from distill.errors import one_line
from distill.files import atomic_write

Write = Callable[[np.ndarray], None]
"""Takes the next samples `(n,)`, int16."""


def pcm(samples: np.ndarray) -> np.ndarray:
    """Turn samples of full scale 1 into little-endian 16-bit ones; what is louder is cut off.

    Errors:
        ValueError: They are not finite.

    Example:
        >>> pcm(np.array([0.0, 0.5, -1.0, 3.0]))
        array([     0,  16384, -32768,  32767], dtype=int16)
    """
    return np.clip(np.rint(finite(samples) * 2.0**15), -(2**15), 2**15 - 1).astype("<i2")


def finite(samples: np.ndarray) -> np.ndarray:
    """Return samples as they are.

    Errors:
        ValueError: They are not finite.
    """
    if not np.isfinite(samples).all():
        raise ValueError(
            "The model drew a sound that is not finite. Lower the temperature, or train it longer."
        )
    return samples


@contextmanager
def open_sink(output: str, rate: int, overwrite: bool, pipe: BinaryIO) -> Iterator[Write]:
    """Open what `output` names, and close it in order.

    Arguments:
        output: A `.wav` file, `-` for raw samples on the pipe, or `device` for the sound card.
        rate: Samples per second.
        overwrite: Whether a file may be replaced.
        pipe: What `-` writes to.

    Errors:
        FileExistsError: The file exists and may not be replaced.
        ValueError: Another suffix; no sound card, or nothing to drive it.
    """
    if output == "-":
        yield lambda samples: _to_pipe(pipe, samples)
    elif output == "device":
        with _device(rate) as write:
            yield write
    else:
        with _wav(Path(output).expanduser(), rate, overwrite) as write:
            yield write


def check_sink(output: str, overwrite: bool) -> None:
    """Raise, before anything is computed, if `open_sink` could not write."""
    path = Path(output).expanduser()
    if output in ("-", "device"):
        return
    if path.suffix.lower() != ".wav" or path.is_dir():
        raise ValueError(
            f"output: wanted a .wav file, - for raw 16-bit samples, or device; got {output!r}."
        )
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists. Name another output=, or set overwrite=true.")


def _to_pipe(pipe: BinaryIO, samples: np.ndarray) -> None:
    pipe.write(samples.tobytes())
    pipe.flush()


@contextmanager
def _wav(path: Path, rate: int, overwrite: bool) -> Iterator[Write]:
    """Write beside the file; an interruption keeps what was spoken, but replaces no other file."""
    check_sink(str(path), overwrite)
    interrupted: KeyboardInterrupt | None = None
    with (
        atomic_write(path) as draft,
        soundfile.SoundFile(draft, "w", rate, 1, "PCM_16", format="WAV") as file,
    ):
        try:
            yield file.write
        except KeyboardInterrupt as error:
            if path.exists():
                raise
            interrupted = error
    if interrupted is not None:
        raise interrupted


@contextmanager
def _device(rate: int) -> Iterator[Write]:
    sounddevice = _sounddevice()
    try:
        stream = sounddevice.OutputStream(samplerate=rate, channels=1, dtype="int16")
        stream.start()
    except sounddevice.PortAudioError as error:
        raise ValueError(
            f"output=device: no sound card that plays {rate} Hz here ({one_line(error)}). Write a "
            ".wav file, or pipe output=- into a player."
        ) from None
    try:
        yield lambda samples: _play(stream, samples)
        stream.stop()  # after the last sample
    finally:
        stream.close()


def _play(stream: Any, samples: np.ndarray) -> None:
    stream.write(samples[:, None])


def _sounddevice() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise ValueError(
            f"output=device: can't drive a sound card ({one_line(error)}). It wants the package "
            "sounddevice (pip install 'distill[sound]') and the library PortAudio."
        ) from None
    return sounddevice
