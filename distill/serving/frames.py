"""The frames of a model, side by side: what files, pipes and clients hand in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from distill.data.audio.inputs import label_index
from distill.export import Metadata


class FrameLayout:
    """How one row of float32 numbers holds the features of a frame: mel first, then F0, say.

    Arguments:
        metadata: Of an exported sampler.
        without: Optional features that rows do not hold: the model estimates them.

    Attributes:
        spec: Of the model's data.
        rate: Samples per second.
        hop: Samples per frame.
        sizes: Numbers of each feature in a row, in order.
        width: Numbers in a row.

    Errors:
        ValueError: A model that does not turn frames (and labels) into sound.

    Example:
        >>> from distill.contract import DataSpec, FeatureSpec
        >>> features = {"mel": FeatureSpec("frames", 3), "f0": FeatureSpec("frames", 2)}
        >>> spec = DataSpec(sites=None, features=features, sample_rate=8000, hop=4)
        >>> layout = FrameLayout(Metadata(spec, "normal", "float32", weights=""))
        >>> str(layout), layout.rows(np.zeros((6, 5))).shape
        ('3 of mel, then 2 of f0', (6, 5))
    """

    def __init__(self, metadata: Metadata, without: Iterable[str] = ()) -> None:
        spec, self._metadata = metadata.spec, metadata
        kinds = {feature.kind for feature in spec.features.values()}
        if spec.sites is not None or spec.sample_rate is None or "frames" not in kinds:
            raise ValueError(
                "The exported model does not turn frames into sound: it takes "
                f"{', '.join(spec.features) or 'noise alone'}"
                + ("" if spec.sites is None else f" and draws {spec.sites} sites")
                + ". Name the export of a vocoder, or draw with `distill sample`."
            )
        if "vector" in kinds:
            raise ValueError("The exported model takes vectors; only frames and labels stream.")
        self.spec = spec
        self.rate: int = spec.sample_rate
        self.hop = spec.hop
        self.sizes: dict[str, int] = dict(metadata.frames)
        for name in without:
            if name not in metadata.optional:
                may = ", ".join(metadata.optional) or "nothing"
                raise ValueError(
                    f"without: wanted features that this model can do without ({may}), got "
                    f"{name!r}. Leave it out."
                )
            self.sizes.pop(name, None)
        self.width = sum(self.sizes.values())

    @property
    def label_names(self) -> list[str]:
        """Names of the labels that the model wants."""
        return [name for name, feature in self.spec.features.items() if feature.kind == "label"]

    def holding(self, names: Iterable[str]) -> FrameLayout:
        """Return the layout of rows that hold only these of the optional features."""
        held = set(names)
        return FrameLayout(self._metadata, [n for n in self._metadata.optional if n not in held])

    def seconds(self, frames: int) -> float:
        """Return the duration of a number of frames."""
        return frames * self.hop / self.rate

    def join(self, features: Mapping[str, Tensor]) -> np.ndarray:
        """Return rows `(F, width)` of features `(1, F, size)`."""
        parts = [features[name][0].numpy() for name in self.sizes]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def rows(self, values: Any, name: str = "frames") -> np.ndarray:
        """Check an array of frames and return it as float32 rows `(F, width)`.

        `(width, F)` is turned, and a leading axis of 1 dropped. Rows may end before optional
        features, or hold NaN in their place.

        Arguments:
            values: The array.
            name: What to call it in an error.

        Errors:
            ValueError: Another shape, no frames, no real numbers, NaN or infinity.
        """
        array = np.asarray(values)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"{name}: wanted real numbers, got {array.dtype}.")
        given = array.shape
        array = self.turned(array)
        if array.ndim != 2 or array.shape[1] not in self.widths:
            raise ValueError(f"{name}: wanted shape (frames, {self.width}): {self}; got {given}.")
        if not len(array):
            raise ValueError(f"{name}: no frames.")
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(array, dtype=np.float32)
        needed = sum(size for name, size in self.sizes.items() if name not in self.optional)
        good = np.isfinite(array[:, :needed]).all(axis=1)
        bad = ~(good & ~np.isinf(array[:, needed:]).any(axis=1))
        if bad.any():
            raise ValueError(
                f"{name}: NaN, infinity or too large a number in {int(bad.sum())} of {len(bad)} "
                "frames."
            )
        return array

    @property
    def widths(self) -> list[int]:
        """Numbers that a row may have."""
        found, width = [self.width], self.width
        for name in reversed(list(self.sizes)):
            if name not in self.optional:
                break
            width -= self.sizes[name]
            found.append(width)
        return found

    def complete(self, rows: np.ndarray) -> np.ndarray:
        """Return rows of full width, NaN where they end before optional features."""
        missing = self.width - rows.shape[1]
        return np.pad(rows, ((0, 0), (0, missing)), constant_values=np.nan) if missing else rows

    @property
    def optional(self) -> tuple[str, ...]:
        """Optional features that rows hold."""
        return tuple(name for name in self._metadata.optional if name in self.sizes)

    def turned(self, array: np.ndarray) -> np.ndarray:
        """Return an array with its frames first, where it can be told, and no axis of 1 before."""
        if array.ndim == 3 and array.shape[0] == 1:
            array = array[0]
        if array.ndim != 2 or array.shape[1] in self.widths:
            return array
        return array.T if array.shape[0] in self.widths else array

    def labels(self, given: Mapping[str, str | int | None]) -> dict[str, Tensor]:
        """Return the index `(1,)` of each label that the model wants, from names or numbers.

        Errors:
            ValueError: A label that is missing, unknown, or that the model does not take.
        """
        for name, value in given.items():
            if value is not None and name not in self.label_names:
                raise ValueError(f"{name}: this model takes none; leave it out.")
        return {
            name: label_index(name, self._number(name, given.get(name)), self.spec)
            for name in self.label_names
        }

    def _number(self, name: str, value: str | int | None) -> str | int | None:
        """Read a text of digits as a number, where no label is called so."""
        known = [str(entry) for entry in self.spec.settings.get(f"{name}s", [])]
        digits = isinstance(value, str) and value.isdecimal() and value not in known
        return int(value) if digits else value  # type: ignore[arg-type]

    def __str__(self) -> str:
        """Say what a row holds."""
        said = ", then ".join(f"{size} of {name}" for name, size in self.sizes.items())
        return f"{said} ({', '.join(self.optional)} may be left out)" if self.optional else said
