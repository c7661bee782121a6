"""Arrays, tensors, torch datasets, files and folders as data (`as_data`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from distill.checks import path_of
from distill.data.array import ArrayData
from distill.data.base import Data
from distill.data.discrete import told_of_steps
from distill.data.points import Points


def as_data(values: Any, features: Mapping[str, Any] | None = None, **settings: Any) -> Data:
    """Return data for `fit` and `distill`: split, with the spec that models are built from.

    Arguments:
        values: An array, tensor or data frame `(N, T)`; a torch Dataset of values `(T,)` or of
            pairs of a value and a mapping of its features; a DataLoader, whose dataset is taken; a
            file of points (.npy, .csv, .txt); a folder of audio; or `Data`, as it is.
        features: Conditioning by name, N rows: floats `(N, C)` or integer labels `(N,)`.
        settings: Of the class that it becomes: `ArrayData`, `Points` or `AudioCorpus`, as in
            `held_out=0.2`, `sample_rate=8000`; for arrays `dequantize=True` too, as of `Points`.

    Errors:
        FileNotFoundError: No such file or folder.
        ValueError: What can't be taken: masked entries, rows of several features or shapes;
            features that are not by name, or beside a file; settings that its class does not have.

    Example:
        >>> data = as_data(np.random.default_rng(0).normal(size=(100, 3)), held_out=0.2)
        >>> data.spec.sites, data.train_size
        (3, 80)
    """
    try:
        if isinstance(values, str | Path):
            return _read(path_of(values, "as_data"), features, settings)
        if isinstance(values, Data):
            return _unchanged(values, features, settings)
        if isinstance(values, DataLoader):
            values = values.dataset
        if isinstance(values, Dataset):
            values, features = _rows(values, features)
        return _held(_array(values), _by_name(features), **settings)
    except TypeError as error:
        raise ValueError(f"as_data: {error}.") from error


def _held(
    values: np.ndarray, features: dict[str, Any], dequantize: bool = False, **settings: Any
) -> ArrayData:
    numbers = values.ndim == 2 and values.dtype.kind in "fiub" and np.isfinite(values).all()
    if numbers and len(values):
        names = [str(k) for k in range(values.shape[1])]
        seed = settings.get("seed", 0)
        values = told_of_steps("as_data", values, names, dequantize, seed)
    return ArrayData(values, features, **settings)


def _read(path: Path, features: Any, settings: dict[str, Any]) -> Data:
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: no such file or folder. Name points, or a folder of audio."
        )
    if features is not None:
        name = 'condition=["COLUMN"]' if path.is_file() else 'conditions=["mel"]'
        raise ValueError(
            f"as_data: {path}: a file or folder brings its own features, got others beside it. "
            f"Name its own, as {name}, or give arrays."
        )
    if path.is_file():
        return Points(str(path), **settings)
    from distill.data.audio import AudioCorpus  # slow to import

    return AudioCorpus(str(path), **settings)


def _by_name(features: Any) -> dict[str, np.ndarray]:
    if not (features is None or hasattr(features, "items")):  # data frames have them too
        raise ValueError(
            f'as_data: wanted features by name, as {{"label": ...}}, got {type(features).__name__}.'
        )
    given = {name: _array(value) for name, value in (features or {}).items()}
    for name, value in given.items():
        if not value.ndim:
            raise ValueError(
                f"as_data: feature {name!r} wanted a row for each value, got {value!s:.40}. Repeat "
                "it by np.full."
            )
    return given


def _unchanged(data: Data, features: Any, settings: dict[str, Any]) -> Data:
    if settings or features is not None:
        raise ValueError(
            f"as_data: {type(data).__name__} is data already, and takes no features or settings: "
            f"got {', '.join(['features'] * (features is not None) + list(settings))}. Give them "
            "to its class."
        )
    return data


def _rows(dataset: Any, features: Any) -> tuple[Any, dict[str, Any]]:
    """Read a dataset once: a step's batch is a function of its number, so rows are gone back to."""
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise ValueError(
            "as_data: wanted a dataset with a length, whose rows can be gone back to, got "
            f"{type(dataset).__name__}. Read what you need of it into an array."
        )
    if features is not None:
        raise ValueError("as_data: a dataset gives its own features. Leave features= out.")
    values, features = [], []
    for index in range(len(dataset)):
        item = dataset[index]
        value, own = item if isinstance(item, tuple | list) and len(item) == 2 else (item, {})
        if isinstance(value, tuple | list) and len(value) == 1:  # as TensorDataset gives them
            (value,) = value
        if not isinstance(own, Mapping):
            raise ValueError(
                f"as_data: wanted a mapping of features by name beside the value of row {index}, "
                f"got {type(own).__name__}. Give (value, {{'label': ...}})."
            )
        values.append(_array(value))
        features.append({name: _array(v) for name, v in own.items()})
        _check_like_first(index, features)
    shapes = {value.shape for value in values}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        found = ", ".join(map(str, sorted(shapes)[:3]))
        raise ValueError(
            f"as_data: wanted values of one shape (T,), got {found}. Cut them to "
            "one length, or give a folder of audio."
        )
    return np.stack(values), {k: np.stack([own[k] for own in features]) for k in features[0]}


def _check_like_first(index: int, features: list[dict[str, np.ndarray]]) -> None:
    """Raise unless a row has the features of row 0, of the same shapes."""
    first, own = ({name: v.shape for name, v in features[i].items()} for i in (0, index))
    if own != first:
        raise ValueError(
            f"as_data: wanted the same features in every row, got {_said(first)} in row 0 and "
            f"{_said(own)} in row {index}. Give each row all of them, of one shape."
        )


def _said(shapes: Mapping[Any, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none"


def _array(values: Any) -> np.ndarray:
    if np.ma.is_masked(values):
        raise ValueError(
            f"as_data: wanted numbers everywhere, got an array with {np.ma.count_masked(values)} "
            "masked. Leave those rows out, or fill them by .filled(NUMBER)."
        )
    if isinstance(values, torch.Tensor):
        if values.layout != torch.strided or values.is_nested or values.is_meta:
            raise ValueError(
                f"as_data: wanted a dense tensor of numbers, got layout {values.layout} on "
                f"{values.device}. Make it dense first."
            )
        values = values.detach().cpu().resolve_conj().resolve_neg()
        return values.float().numpy() if values.dtype == torch.bfloat16 else values.numpy()
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError("as_data: wanted rows of one length, got lists of several.") from None
