"""Arrays and tensors of floats as people have them, in one form."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_floats(values: Any, name: str) -> np.ndarray:
    """Return floats of any precision and byte order as an array.

    Errors:
        ValueError: Whole numbers, complex ones, texts, tensors that are not plain.
    """
    if isinstance(values, Tensor):
        return _tensor_array(values, name)
    if not isinstance(values, np.ndarray | np.generic | list | tuple):
        raise ValueError(f"{name}: wanted real numbers in floats, got {type(values).__name__}.")
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name}: wanted an array, got lists of different lengths.") from None
    if array.dtype.kind != "f":
        raise _no_floats(name, str(array.dtype))
    return array


def _tensor_array(values: Tensor, name: str) -> np.ndarray:
    if not values.is_floating_point():
        raise _no_floats(name, str(values.dtype).removeprefix("torch."))
    if not _is_plain(values):
        raise ValueError(f"{name}: wanted a plain tensor of numbers, got another kind.")
    if values.numel() * values.element_size() > values.untyped_storage().nbytes():
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
