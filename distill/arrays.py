"""Checks and conversion of the arrays and tensors that people give."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor


def read_npy(file: BinaryIO, size: int) -> np.ndarray:
    """Read a `.npy` file, without pickles.

    Arguments:
        file: At its beginning.
        size: Bytes that it has.

    Errors:
        ValueError: No such file, or one that promises more than it holds.
    """
    try:
        # The header is read first: it may promise any size, and NumPy would ask for that memory.
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"its version is {version}")
        shape, _, dtype = read(file)
        promised, there = math.prod(shape) * dtype.itemsize, size - file.tell()
        if dtype.hasobject or promised != there:
            raise ValueError(f"it promises {promised} bytes of {dtype} and holds {there}")
        file.seek(0)
        return np.load(file, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # a header is a text that Python reads, and may hold anything
        raise ValueError(" ".join(str(error).split())[:200] or type(error).__name__) from None


def read_pt(path: Path, device: str | torch.device = "cpu", sums: bool = False) -> Any:
    """Read a file of `torch.save`: tensors and plain data, and no code.

    Arguments:
        path: The file.
        device: Where tensors go.
        sums: Whether it must be an archive whose every byte is as it was written.

    Errors:
        ValueError: What `check_archive` refuses, or a damaged part.
        Exception: What torch says of other files.
    """
    if sums or zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, path.stat().st_size)
            damaged = archive.testzip() if sums else None  # torch reads past a changed byte
        if damaged is not None:
            raise ValueError(f"{damaged} is damaged")
    return torch.load(path, map_location=device, weights_only=True)


def check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Raise if the parts of an archive of torch are more than its file holds.

    They are stored as they are: what is compressed, or named twice, could fill the memory.

    Arguments:
        archive: Before anything of it is read.
        size: Bytes of its file.

    Errors:
        ValueError: With the reason.
    """
    parts = archive.infolist()
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise ValueError("its parts are compressed, as torch never writes them")
    promised = sum(part.file_size for part in parts)
    if promised > size:
        raise ValueError(f"its parts promise {promised} bytes and it holds {size}")
    names = [part.filename for part in parts]
    if len(set(names)) < len(names):
        raise ValueError("it holds two parts of one name")


def is_plain(values: Any) -> bool:
    """Return whether a value is a dense tensor that repeats none of its numbers."""
    return (
        isinstance(values, Tensor)
        and values.layout == torch.strided
        and not (values.is_nested or values.is_meta)
        and values.numel() * values.element_size() <= values.untyped_storage().nbytes()
    )


def as_floats(values: Any, name: str) -> np.ndarray:
    """Return floats of any precision and byte order as an array.

    Errors:
        ValueError: Whole numbers, complex ones, texts, tensors that are not plain.
    """
    if isinstance(values, Tensor):
        return _tensor_array(values, name)
    if not isinstance(values, np.ndarray | np.generic | list | tuple):
        raise ValueError(f"{name}: wanted real numbers in floats, got {type(values).__name__}.")
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: wanted numbers everywhere, got masked ones. Fill them first.")
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name}: wanted an array, got lists of different lengths.") from None
    if array.dtype.kind != "f":
        raise _no_floats(name, str(array.dtype))
    if isinstance(values, list | tuple) and _has_booleans(values):  # NumPy takes them for 0 and 1
        raise _no_floats(name, "true and false among them")
    return array


def _has_booleans(values: list[Any] | tuple[Any, ...]) -> bool:
    return any(
        v is True or v is False or (isinstance(v, list | tuple) and _has_booleans(v))
        for v in values
    )


def _tensor_array(values: Tensor, name: str) -> np.ndarray:
    if not values.is_floating_point():
        raise _no_floats(name, str(values.dtype).removeprefix("torch."))
    if not _is_plain(values):
        raise ValueError(f"{name}: wanted a plain tensor of numbers, got another kind.")
    if not is_plain(values):
        raise ValueError(f"{name}: wanted a plain tensor of numbers, got one that repeats some.")
    return values.detach().float().resolve_neg().numpy()


def _no_floats(name: str, got: str) -> ValueError:
    whole = " Whole numbers are no mel; convert them if they are meant." if "int" in got else ""
    return ValueError(f"{name}: wanted real numbers in floats, got {got}.{whole}")


def scalar(value: Any) -> Any:
    """Return the number in an array or a tensor of one; other values as they are."""
    if isinstance(value, Tensor):
        return value.item() if _is_plain(value) and value.numel() == 1 else "a tensor"
    if isinstance(value, np.ndarray | np.generic):
        return value.item() if value.size == 1 else "an array"
    return value


def _is_plain(values: Tensor) -> bool:
    return values.layout == torch.strided and not values.is_nested and values.device.type == "cpu"
