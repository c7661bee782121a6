"""What goes into a sampler: checked, since not every backend would refuse what does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.arrays import as_floats
from distill.contract import Features, FeatureSpec
from distill.export.metadata import Metadata

KINDS = ("frames", "vector", "label")


class InputChecks:
    """Checks of one loaded file's inputs.

    Arguments:
        metadata: What the file says about itself.
        name: Of the file, for the errors.

    Errors:
        ValueError: From every method, for what does not fit, with what was wanted.
    """

    def __init__(self, metadata: Metadata, name: str) -> None:
        self.metadata = metadata
        self.name = name
        self.dtype: torch.dtype = getattr(torch, metadata.dtype)
        self._check_frames: Callable[..., None] = _nothing
        if "mel" in metadata.spec.settings:
            from distill.data.audio.given_frames import check_frames

            self._check_frames = check_frames

    def noise(self, value: Tensor) -> Tensor:
        """Check noise `(B, T)`."""
        spec = self.metadata.spec
        if spec.sites is not None:
            return self.tensor("noise", value, ("batch", spec.sites), self.dtype)
        value = self.tensor("noise", value, ("batch", "sites"), self.dtype)
        if value.shape[1] % spec.hop:
            raise ValueError(
                f"{self.name}: noise wanted a positive multiple of {spec.hop} sites, got "
                f"{value.shape[1]}."
            )
        return value

    def features(
        self,
        features: Features,
        batch: int | str = "batch",
        frames: int | str = "frames",
        kinds: tuple[str, ...] = KINDS,
    ) -> dict[str, Tensor]:
        """Check features of `batch` rows and `frames` frames; words stand for any number.

        Optional ones that are missing become NaN, as the graph wants them.

        Arguments:
            features: By name.
            batch: B.
            frames: F.
            kinds: Which kinds are wanted.
        """
        specs = self.metadata.spec.features.items()
        given = dict(features or {})
        wanted = {name: spec for name, spec in specs if spec.kind in kinds}
        optional = set(self.metadata.optional)
        if not set(wanted) - optional <= set(given) <= set(wanted):
            without = ", ".join(sorted(optional & set(wanted)))
            raise ValueError(
                f"{self.name}: wanted the features {', '.join(wanted) or 'none'}"
                f"{f' ({without} may be left out)' if without else ''}; got "
                f"{', '.join(given) or 'none'}."
            )
        wanted = {name: spec for name, spec in wanted.items() if name in given}
        checked = {
            name: self._feature(name, given[name], feature, batch, frames)
            for name, feature in wanted.items()
        }
        rows = {name: value.shape[0] for name, value in checked.items()}
        lengths = {name: v.shape[1] for name, v in checked.items() if wanted[name].kind == "frames"}
        for what, numbers in (("rows", rows), ("frames", lengths)):
            if len(set(numbers.values())) > 1:
                got = ", ".join(f"{name} {n}" for name, n in numbers.items())
                raise ValueError(f"{self.name}: wanted as many {what} of every feature; got {got}.")
        return self._filled(checked, kinds)

    def _filled(self, checked: dict[str, Tensor], kinds: tuple[str, ...]) -> dict[str, Tensor]:
        """Put NaN where optional features are missing, and all in the order of the spec."""
        filled = {}
        like = next((checked[name] for name in self.metadata.frames if name in checked), None)
        for name, feature in self.metadata.spec.features.items():
            if name in checked:
                filled[name] = checked[name]
            elif feature.kind in kinds and like is not None:
                filled[name] = like.new_full((*like.shape[:2], feature.size), math.nan)
        return filled

    def named(self, features: Any, kinds: tuple[str, ...] = KINDS) -> dict[str, Tensor]:
        """Turn what a person passes into tensors with a batch: checked, by name.

        Arguments:
            features: A mapping of tensors or arrays, frames `(B, F, size)` or `(F, size)`, vectors
                `(B, size)` or `(size,)`, labels `(B,)` or one number; or one array of frames, where
                several features lie side by side in the order of the spec, optional ones at its
                end left out or not.
            kinds: Which kinds are wanted.
        """
        if features is None or isinstance(features, Mapping):
            specs = self.metadata.spec.features
            given = {}
            for name, value in dict(features or {}).items():
                label = name in specs and specs[name].kind == "label"
                tensor = _label(value, name) if label else self._floats(value, f"feature {name!r}")
                given[name] = _batched(tensor, specs.get(name))
            return self._meant(self.features(given, kinds=kinds))
        value = self._floats(features, "frames")
        sizes = side_by_side(self.metadata, value.shape[-1] if value.dim() else 0)
        total = sum(sizes.values())
        if value.dim() not in (2, 3) or value.shape[-1] != total or not sizes:
            raise ValueError(
                f"{self.name}: frames wanted shape (frames, {total}), {self._side_by_side()}; got "
                f"{tuple(value.shape)}."
            )
        parts = (value if value.dim() == 3 else value[None]).split(list(sizes.values()), -1)
        given = dict(zip(sizes, parts, strict=True))
        return self._meant(self.features(given, kinds=kinds))

    def _meant(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return features, if their numbers are ones that the model's data can have."""
        self._check_frames(features, self.metadata.spec, self.name)
        return features

    def state(self, state: tuple[Tensor, ...], batch: int) -> tuple[Tensor, ...]:
        """Check the state of a batch."""
        specs = self.metadata.state
        if len(state) != len(specs):
            raise ValueError(
                f"{self.name}: wanted a state of {len(specs)} tensors, got {len(state)}. Pass what "
                "start or the chunk before returned."
            )
        for spec, value in zip(specs, state, strict=True):
            self._check(spec.name, value, (batch, *spec.shape), getattr(torch, spec.dtype))
        return tuple(value.contiguous() for value in state)

    def tensor(
        self,
        name: str,
        value: Any,
        shape: tuple[int | str, ...],
        dtype: torch.dtype,
        may_be_nan: bool = False,
    ) -> Tensor:
        """Check one tensor, none of whose axes may be empty; return it contiguous."""
        self._check(name, value, shape, dtype)
        if 0 in value.shape:
            raise ValueError(
                f"{self.name}: {name} wanted shape ({', '.join(map(str, shape))}), none of them 0; "
                f"got {tuple(value.shape)}."
            )
        finite = not value.is_floating_point() or bool(value.isfinite().all())
        if not finite and not (may_be_nan and not value.isinf().any()):
            raise ValueError(f"{self.name}: {name} wanted finite numbers, got NaN or inf.")
        return value.contiguous()

    def _check(
        self, name: str, value: Any, shape: tuple[int | str, ...], dtype: torch.dtype
    ) -> None:
        if not isinstance(value, Tensor) or value.dtype != dtype or value.device.type != "cpu":
            got = f"{value.dtype} on {value.device}" if isinstance(value, Tensor) else type(value)
            raise ValueError(f"{self.name}: {name} wanted {dtype} on the CPU, got {got}.")
        if value.dim() != len(shape) or not all(
            isinstance(w, str) or w == g for w, g in zip(shape, value.shape, strict=True)
        ):
            raise ValueError(
                f"{self.name}: {name} wanted shape ({', '.join(map(str, shape))}); got "
                f"{tuple(value.shape)}."
            )

    def _floats(self, value: Any, name: str) -> Tensor:
        """Take floats of any precision and byte order, as every reader of arrays does."""
        if isinstance(value, Tensor) and value.dtype == self.dtype:
            return value.detach().clone()  # a caller may fill its buffer again
        array = as_floats(value, f"{self.name}: {name}")
        with np.errstate(over="ignore"):  # what overflows is refused as not finite
            return torch.from_numpy(np.array(array, self.metadata.dtype))

    def _side_by_side(self) -> str:
        sizes = self.metadata.frames.items()
        return "+".join(f"{name} {size}" for name, size in sizes) or "but it takes no frames"

    def _feature(
        self, name: str, value: Tensor, feature: FeatureSpec, batch: int | str, frames: int | str
    ) -> Tensor:
        name = f"feature {name!r}"
        if feature.kind == "label":
            value = self.tensor(name, value, (batch,), torch.int64)
            if value.min() < 0 or value.max() >= feature.size:
                raise ValueError(
                    f"{self.name}: {name} wanted labels 0..{feature.size - 1}, got "
                    f"{int(value.min())}..{int(value.max())}."
                )
            return value
        shape: tuple[int | str, ...] = (batch, feature.size)
        if feature.kind == "frames":
            shape = (batch, frames, feature.size)
        return self.tensor(name, value, shape, self.dtype, feature.optional)


def _nothing(*_: Any) -> None:
    """Check nothing."""


def side_by_side(metadata: Metadata, width: int) -> dict[str, int]:
    """Return the frame features, with their sizes, that a row of `width` numbers holds.

    Optional ones are left out from the end until the rest is no wider than that.
    """
    sizes = dict(metadata.frames)
    for name in reversed(list(sizes)):
        if sum(sizes.values()) <= width or name not in metadata.optional:
            break
        del sizes[name]
    return sizes


def lead_in(
    metadata: Metadata, features: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Split whole features into those that a state starts from, and those of the first chunk.

    The last frame stands for the `latency` frames after the end. Labels and vectors are in both.
    """
    ahead = metadata.latency
    first, rest = dict(features), dict(features)
    for name in metadata.frames:
        value = features[name]
        padded = torch.cat([value, value[:, -1:].expand(-1, ahead, -1)], 1) if ahead else value
        first[name], rest[name] = padded[:, : max(1, ahead)], padded[:, ahead:].contiguous()
    return first, rest


def first_state(metadata: Metadata, first: Mapping[str, Tensor], batch: int) -> tuple[Tensor, ...]:
    """Return the state before the first chunk, as `metadata` describes it.

    Arguments:
        metadata: Of the file.
        first: Features with at least the frames of look-ahead, and one.
        batch: B.
    """

    def tensor(shape: tuple[int, ...], dtype: str, fill: str) -> Tensor:
        if fill != "frames":
            return torch.zeros((batch, *shape), dtype=getattr(torch, dtype))
        frames = torch.cat([first[name] for name in metadata.frames], -1)
        return frames[:, : shape[0]].contiguous()

    return tuple(tensor(spec.shape, spec.dtype, spec.fill) for spec in metadata.state)


def _label(value: Any, name: str) -> Tensor:
    array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.kind not in "iu":
        raise ValueError(f"feature {name!r}: wanted whole numbers, got {array.dtype}.")
    return torch.from_numpy(np.array(array, np.int64))


def _batched(value: Tensor, feature: FeatureSpec | None) -> Tensor:
    dims = {"frames": 3, "vector": 2, "label": 1}.get(feature.kind if feature else "", -1)
    return value[None] if value.dim() == dims - 1 else value
