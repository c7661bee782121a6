"""The layout of feature frames: one rule for what files, pipes and requests hand in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.arrays import as_floats, scalar
from distill.contract import DataSpec
from distill.errors import suggest
from distill.f0 import check_f0
from distill.labels import label_index


class FrameLayout:
    """How one row of float32 numbers holds the features of a frame: mel first, then F0, say.

    Arguments:
        spec: Of a model that turns frames into sound.
        without: Optional features, or one, that rows do not hold: the model estimates them.
        whole: Whether rows are those of a whole value, which may lack a phase that F0 adds up to.

    Attributes:
        rate: Samples per second.
        hop: Samples per frame.
        sizes: Numbers of each feature in a row, in order.
        width: Numbers in a row.
        optional: Optional features that rows hold.

    Errors:
        ValueError: A model that does not turn frames (and labels) into sound.

    Example:
        >>> from distill.contract import FeatureSpec
        >>> features = {"mel": FeatureSpec("frames", 3), "mood": FeatureSpec("frames", 2)}
        >>> layout = FrameLayout(DataSpec(None, features=features, sample_rate=8000, hop=4))
        >>> str(layout), layout.rows(np.zeros((5, 6))).shape
        ('3 of mel, then 2 of mood', (6, 5))
    """

    def __init__(self, spec: DataSpec, without: Iterable[str] = (), whole: bool = False) -> None:
        kinds = {feature.kind for feature in spec.features.values()}
        if spec.sites is not None or spec.sample_rate is None or "frames" not in kinds:
            raise ValueError(
                "The model does not turn frames into sound: it takes "
                f"{', '.join(spec.features) or 'noise alone'}"
                + ("" if spec.sites is None else f" and draws {spec.sites} sites")
                + ". Name a vocoder, or draw with `distill sample`."
            )
        if "vector" in kinds:
            raise ValueError("The model takes vectors; only frames and labels make a stream.")
        self.spec, self._whole = spec, whole
        self.rate: int = spec.sample_rate
        self.hop = spec.hop
        framed = {name: f for name, f in spec.features.items() if f.kind == "frames"}
        optional = [name for name, feature in framed.items() if feature.optional]
        self._all = {name: feature.size for name, feature in framed.items()}
        self.sizes = dict(self._all)
        for name in [without] if isinstance(without, str) else without:
            if name not in optional:
                raise ValueError(
                    "without: wanted features that this model can do without "
                    f"({', '.join(optional) or 'nothing'}), got {name!r}. Leave it out."
                )
            self.sizes.pop(name, None)
        self.width = sum(self.sizes.values())
        self.optional = tuple(name for name in optional if name in self.sizes)
        added_up = whole and {"f0", "phase"} <= self.sizes.keys()
        self._spare = {*self.optional, *(["phase"] if added_up else [])}

    @property
    def label_names(self) -> list[str]:
        """Names of the labels that the model wants."""
        return [name for name, feature in self.spec.features.items() if feature.kind == "label"]

    def holding(self, names: Iterable[str]) -> FrameLayout:
        """Return the layout of rows that hold only these of the optional features."""
        held = set(names)
        optional = (name for name, feature in self.spec.features.items() if feature.optional)
        return FrameLayout(self.spec, [n for n in optional if n not in held], self._whole)

    def seconds(self, frames: int) -> float:
        """Return the duration of a number of frames."""
        return frames * self.hop / self.rate

    def rows(self, values: Any, name: str = "frames") -> np.ndarray:
        """Check an array of frames and return it as float32 rows.

        `(F, width)` or `(width, F)`, also with a leading axis of 1; where both axes would do,
        frames come first. Rows may end before optional features, or hold NaN in their place.

        Arguments:
            values: An array or a tensor of floats.
            name: What to call it in an error.

        Errors:
            ValueError: Another shape, no frames, no floats, NaN, infinity, an F0 out of range.
        """
        array = as_floats(values, name)
        given = array.shape
        array = _turned(array, self.widths)
        if array.ndim != 2 or array.shape[1] not in self.widths:
            raise ValueError(
                f"{name}: wanted shape (frames, {self.width}) or ({self.width}, frames): {self}; "
                f"got {given}."
            )
        rows = _single(array)
        for feature, part in self.parts(rows).items():
            self._check(part, f"{name}: {feature}" if len(self.sizes) > 1 else name, feature)
        return rows

    def gather(self, entries: Mapping[str, Any], name: str) -> np.ndarray:
        """Return full rows `(F, width)` of features by name, NaN in place of those left out.

        Beside the features there may be `sample_rate` and the settings of the mel, which then
        must be the model's.

        Arguments:
            entries: Arrays or tensors by name, each as `rows` takes them.
            name: What to call them in an error.

        Errors:
            ValueError: A feature is missing, or one that the model does not take; other settings;
                features of different length; what `rows` refuses.
        """
        self._check_names(entries, name)
        self._check_settings(entries, name)
        parts, counts = {}, {}
        for feature, size in self.sizes.items():
            if feature in entries:
                value = as_floats(entries[feature], f"{name}: {feature}")
                part = _turned(value, [size])
                if part.ndim != 2 or part.shape[1] != size:
                    raise ValueError(
                        f"{name}: wanted {feature} of shape (frames, {size}) or ({size}, frames), "
                        f"got {value.shape}."
                    )
                parts[feature] = _single(part)
                self._check(parts[feature], f"{name}: {feature}", feature)
                counts[feature] = len(part)
        if len(set(counts.values())) > 1:
            got = ", ".join(f"{count} of {feature}" for feature, count in counts.items())
            raise ValueError(f"{name}: wanted as many frames of every feature, got {got}.")
        return self._joined(parts, next(iter(counts.values())))

    def parts(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Cut rows, which may end before optional features, into these by name."""
        found, first = {}, 0
        for name, size in self.sizes.items():
            if first < rows.shape[1]:
                found[name] = rows[:, first : first + size]
            first += size
        return found

    def join(self, features: Mapping[str, Tensor]) -> np.ndarray:
        """Return rows `(F, width)` of features `(1, F, size)`."""
        parts = [features[name][0].numpy() for name in self.sizes]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def complete(self, rows: np.ndarray) -> np.ndarray:
        """Return rows with all features of the model, NaN for those that they do not hold."""
        if rows.shape[1] == sum(self._all.values()):
            return rows
        return self._joined(self.parts(rows), len(rows))

    @property
    def widths(self) -> list[int]:
        """Numbers that a row may have."""
        found, width = [self.width], self.width
        for name in reversed(list(self.sizes)):
            if name not in self._spare:
                break
            width -= self.sizes[name]
            found.append(width)
        return found

    def labels(self, given: Mapping[str, str | int | None]) -> dict[str, Tensor]:
        """Return the index `(1,)` of each label that the model wants, from names or numbers.

        Errors:
            ValueError: A label that is missing, unknown, or that the model does not take.
        """
        for name, value in given.items():
            if value is not None and name not in self.label_names:
                raise ValueError(f"{name}: this model takes none; leave it out.")
        return {
            name: torch.tensor([label_index(self.spec, name, given.get(name))])
            for name in self.label_names
        }

    def __str__(self) -> str:
        """Say what a row holds."""
        said = ", then ".join(f"{size} of {name}" for name, size in self.sizes.items())
        spare = [name for name in self.sizes if name in self._spare]
        return f"{said} ({', '.join(spare)} may be left out)" if spare else said

    def _joined(self, parts: Mapping[str, np.ndarray], frames: int) -> np.ndarray:
        blank = {
            name: np.full((frames, size), np.nan, np.float32) for name, size in self._all.items()
        }
        return np.concatenate([parts.get(name, blank[name]) for name in self._all], axis=1)

    def _check(self, part: np.ndarray, name: str, feature: str) -> None:
        """Raise where a feature has no frames, or numbers that are none."""
        if not len(part):
            raise ValueError(f"{name}: no frames.")
        good = np.isfinite(part).all(1)
        missing = np.isnan(part).all(1) & (feature in self.optional)
        bad = ~(good | missing)
        if bad.any():
            raise ValueError(
                f"{name}: NaN, infinity or too large a number in {int(bad.sum())} of {len(bad)} "
                "frames."
            )
        if feature == "f0" and part.shape[1] == 2:
            check_f0(part[good], np.flatnonzero(good), self.rate, name)

    def _check_names(self, entries: Mapping[str, Any], name: str) -> None:
        known = [*self.sizes, *self._settings]
        needed = [feature for feature in self.sizes if feature not in self._spare]
        lacking = [feature for feature in needed if feature not in entries]
        if lacking:
            raise ValueError(
                f"{name}: the model wants {', '.join(needed)}, got "
                f"{', '.join(_short(entry) for entry in list(entries)[:8]) or 'nothing'}. Give "
                f"{', '.join(lacking)} too, by name."
            )
        for entry in entries:
            if entry not in known:
                raise ValueError(
                    f"{name}: wanted {', '.join(self.sizes)}, and settings of the mel, got also "
                    f"{_short(entry)!r}.{suggest(_short(entry), known)} Leave out what the model "
                    "does not take; labels, seed and temperature are given apart."
                )

    @property
    def _settings(self) -> dict[str, Any]:
        return {"sample_rate": self.rate, "hop": self.hop, **self.spec.settings.get("mel", {})}

    def _check_settings(self, entries: Mapping[str, Any], name: str) -> None:
        for key, wanted in self._settings.items():
            got = scalar(entries.get(key, wanted))
            if got != wanted:
                raise ValueError(
                    f"{name}: wanted a mel with {key}={wanted}, as the model was trained with, got "
                    f"{key}={_short(got)}. Make it again with the model's settings."
                )


def _short(value: Any) -> str:
    return " ".join(str(value).split())[:40]


def _turned(array: np.ndarray, widths: Iterable[int]) -> np.ndarray:
    """Return an array with its frames first, where it can be told, and no axis of 1 before."""
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or array.shape[1] in widths or array.shape[0] not in widths:
        return array
    return array.T


def _single(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)
