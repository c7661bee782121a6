"""A dataset of values held in memory, split by a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.checks import check_seed
from distill.contract import Batch, DataSpec, FeatureSpec
from distill.data.base import Data, check_request

_SPLIT, _SHUFFLE = 0, 1
_KEPT_EPOCHS = 4
_LABELS = 2**20
LARGEST = 1e18
"""Squares of what is larger overflow in float32."""


class ArrayData(Data):
    """Values `(N, T)` in memory, with optional features of N rows, split by a seed.

    The spec's location and scale, and those of float features, come from the training part.
    Training walks through one seeded permutation of the training part after the other.

    Arguments:
        values: `(N, T)`.
        features: By name: floats `(N, C)` or integer labels `(N,)`.
        seed: Of the split, not of the order of training.
        held_out: Share of the values to hold out, at least one.

    Errors:
        ValueError: Too few values, a share outside (0, 1), features with another number of rows,
            values that are not finite, a constant column.

    Example:
        >>> data = ArrayData(np.random.default_rng(0).normal(size=(100, 3)))
        >>> data.spec.sites, data.train_batch(step=0, size=8, seed=0).x.shape
        (3, torch.Size([8, 3]))
    """

    def __init__(
        self,
        values: np.ndarray,
        features: Mapping[str, np.ndarray] | None = None,
        seed: int = 0,
        held_out: float = 0.1,
    ) -> None:
        values = _plain(values)
        features = {name: _plain(feature) for name, feature in (features or {}).items()}
        self._check(values, features, held_out)
        count = len(values)
        check_seed(seed, "data.seed")
        order = np.random.default_rng([_SPLIT, seed]).permutation(count)
        held = max(1, round(held_out * count))
        self._train, self._held = order[held:], order[:held]
        train = values[self._train].astype(np.float64)
        scale = train.std(0)
        # float32 resolves no more than this around the location.
        flat = np.flatnonzero(scale <= 1e-6 * np.abs(train).max(0))
        if len(flat):
            raise ValueError(
                f"{type(self).__name__}: column {flat[0]} is constant "
                f"({values[0, flat[0]]:g}), or varies by less than a millionth of its size: a "
                "density has no width there. Leave it out, or subtract an offset."
            )
        self._values = torch.tensor(values, dtype=torch.get_default_dtype())
        self._features = {k: _feature(v) for k, v in features.items()}
        self._epochs: dict[tuple[int, int], np.ndarray] = {}
        self.train_size = len(self._train)
        self.spec = DataSpec(
            sites=values.shape[1],
            loc=tuple(train.mean(0).tolist()),
            scale=tuple(scale.tolist()),
            features={k: self._spec_of(v) for k, v in self._features.items()},
        )

    @property
    def train_values(self) -> Tensor:
        """All training values, in a fixed order."""
        return self._values[self._train]

    @property
    def held_out_values(self) -> Tensor:
        """All held-out values, in a fixed order."""
        return self._values[self._held]

    def train_batch(self, step: int, size: int, seed: int) -> Batch:
        """Return the training batch of a step: rows of seeded permutations laid end to end."""
        check_request(self, step, size)
        count = len(self._train)
        first, last = step * size, (step + 1) * size
        rows = []
        for epoch in range(first // count, -(-last // count)):
            low, high = max(first - epoch * count, 0), min(last - epoch * count, count)
            rows.append(self._permutation(seed, epoch)[low:high])
        return self._rows(np.concatenate(rows))

    def held_out(self, size: int) -> Iterator[Batch]:
        """Yield all held-out values in batches."""
        check_request(self, 0, size)
        for first in range(0, len(self._held), size):
            yield self._rows(self._held[first : first + size])

    def identity(self) -> dict[str, Any]:
        """Return kind, spec, the number of rows, and a hash of values, features and split."""
        total = hashlib.sha256()
        for array in (self._train, self._held, self._values, *self._features.values()):
            total.update(np.ascontiguousarray(array).tobytes())
        return super().identity() | {"rows": len(self._values), "values": total.hexdigest()}

    def _rows(self, rows: np.ndarray) -> Batch:
        index = torch.from_numpy(rows)
        features = {k: v[index] for k, v in self._features.items()}
        return Batch(self._values[index], features or None)

    def _permutation(self, seed: int, epoch: int) -> np.ndarray:
        key = (seed, epoch)
        if key not in self._epochs:
            while len(self._epochs) >= _KEPT_EPOCHS:
                del self._epochs[next(iter(self._epochs))]
            order = np.random.default_rng([_SHUFFLE, seed, epoch]).permutation(len(self._train))
            self._epochs[key] = self._train[order]
        return self._epochs[key]

    def _spec_of(self, values: Tensor) -> FeatureSpec:
        if not values.is_floating_point():
            return FeatureSpec("label", int(values.max()) + 1)
        train = values[self._train].double()
        scale = train.std(0, correction=0)
        # A condition that never changes stays where it is: 0 after centering.
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        return FeatureSpec(
            "vector", values.shape[1], tuple(train.mean(0).tolist()), tuple(scale.tolist())
        )

    def _check(
        self, values: np.ndarray, features: Mapping[str, np.ndarray], held_out: float
    ) -> None:
        name = type(self).__name__
        if values.ndim != 2 or len(values) < 3 or not values.shape[1]:
            remedy = "Give it more values" if values.ndim == 2 else "Reshape them: a row a value"
            raise ValueError(
                f"{name}: wanted values of shape (N, T) with N >= 3 and T >= 1, got "
                f"{values.shape}. {remedy}."
            )
        if not 0 < held_out < 1 or round(held_out * len(values)) > len(values) - 2:
            raise ValueError(
                f"{name}: wanted held_out, a share between 0 and 1 that leaves 2 values to train "
                f"on, got {held_out} of {len(values)} values."
            )
        for key, feature in features.items():
            if len(feature) != len(values):
                raise ValueError(
                    f"{name}: feature {key!r} wanted {len(values)} rows like the values, got "
                    f"{len(feature)}."
                )
        for what, array in {"values": values, **features}.items():
            if not isinstance(what, str) or np.asarray(array).dtype.kind not in "fiub":
                kind = np.asarray(array).dtype
                raise ValueError(f"{name}: wanted real numbers by name, got {what!r}: {kind}.")
            check_finite(name, what, array)
            largest = np.abs(np.asarray(array, np.float64)).max(initial=0)
            if largest > LARGEST:
                raise ValueError(
                    f"{name}: {what} reach {largest:.3g}; numbers beyond {LARGEST:g} overflow in "
                    "what is computed. Scale them down."
                )


def check_finite(owner: str, what: str, array: np.ndarray) -> None:
    """Raise if an array holds NaN or infinity, saying where the first one is and how many."""
    finite = np.isfinite(array)
    if not finite.all():
        where = np.argwhere(~finite)
        place = ", ".join(f"{n} {i}" for n, i in zip(("row", "column"), where[0], strict=False))
        raise ValueError(
            f"{owner}: {what} hold NaN or infinity, first at {place} (counted from 0), "
            f"{len(where)} in all. Remove or fill them."
        )


def _plain(values: Any) -> np.ndarray:
    """Return an array as torch takes it: in this machine's byte order, with no step back."""
    array = np.asarray(values)
    numbers = array.dtype.kind in "fiub"
    return np.asarray(array, array.dtype.newbyteorder("="), order="C") if numbers else array


def _feature(values: np.ndarray) -> Tensor:
    if values.dtype.kind in "iub":
        values = values.astype(np.int64) if values.dtype.kind == "b" else values
        if values.ndim != 1:
            raise ValueError(
                f"ArrayData: wanted labels of shape (N,), or float features of shape (N, C), got "
                f"whole numbers of shape {values.shape}. Convert them by .astype(float)."
            )
        if values.min() < 0 or values.max() >= _LABELS:
            raise ValueError(
                f"ArrayData: wanted labels of shape (N,), 0 or more and below {_LABELS}, got "
                f"{values.shape} from {values.min()} to {values.max()}. Number them."
            )
        return torch.tensor(values, dtype=torch.long)
    if values.ndim != 2:
        raise ValueError(
            f"ArrayData: wanted float features of shape (N, C), got {values.shape}. Reshape them, "
            "as by [:, None]."
        )
    return torch.tensor(values, dtype=torch.get_default_dtype())
