"""Features as users give them: checked against what was promised, labels as long integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from distill.contract import FeatureSpec
from distill.functional import may_look
from distill.networks.frame_features import with_missing


def given_features(
    owner: str, features: Any, specs: Mapping[str, FeatureSpec]
) -> dict[str, Tensor]:
    """Return the features that specs name, in their order; optional ones left out become NaN.

    Labels beyond their number are found on the CPU only: a GPU would have to be waited for.

    Arguments:
        owner: Who asks, for errors.
        features: By name.
        specs: Of all features.

    Errors:
        ValueError: No mapping, or a feature that is missing, no tensor, of another shape or number
            of rows or frames; labels that are no whole numbers, or out of range.

    Example:
        >>> given_features("Encoder", {"digit": [1]}, {"digit": FeatureSpec("label", 3)})
        Traceback (most recent call last):
        ValueError: Encoder: feature 'digit' wanted a tensor, got list. Make one by torch.as_tensor.
    """
    found = {k: v for k, v in by_name(owner, features, specs).items() if v is not None}
    unknown = [str(name) for name in found if name not in specs]
    if unknown:
        raise ValueError(
            f"{owner}: wanted features among {', '.join(specs)}, got {', '.join(unknown)} too, "
            "which it would not read. Leave them out, or mend their names."
        )
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"{owner}: feature {name!r} wanted a tensor, got {type(value).__name__}. Make one "
                "by torch.as_tensor."
            )
    found = with_missing(found, specs)
    for name, feature in specs.items():
        _check_shape(owner, name, found.get(name), feature, specs)
    _check_alike(owner, "rows", {name: found[name].shape[0] for name in specs})
    frames = {name: found[name].shape[1] for name, f in specs.items() if f.kind == "frames"}
    _check_alike(owner, "frames", frames)
    return {
        name: _label(f"{owner}: feature {name!r}", found[name], feature.size)
        if feature.kind == "label"
        else found[name]
        for name, feature in specs.items()
    }


def by_name(owner: str, features: Any, names: Iterable[str]) -> Mapping[str, Any]:
    """Return features, empty for none, if they are a mapping.

    Errors:
        ValueError: They are not.
    """
    if not isinstance(features, Mapping | None):
        wanted = ", ".join(f"{name!r}: ..." for name in names)
        raise ValueError(
            f"{owner}: wanted features by name, as {{{wanted}}}, got {type(features).__name__}."
        )
    return features or {}


def _check_shape(
    owner: str, name: str, value: Tensor | None, feature: FeatureSpec, names: Iterable[str]
) -> None:
    shape = {"frames": ("batch", "frames", feature.size), "vector": ("batch", feature.size)}.get(
        feature.kind, ("batch",)
    )
    fits = value is not None and value.dim() == len(shape)
    if not fits or value is None or (len(shape) > 1 and value.shape[-1] != feature.size):
        wanted = f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
        raise ValueError(
            f"{owner}: feature {name!r} wanted shape {wanted}, got "
            f"{'none' if value is None else tuple(value.shape)}. Pass what it was built for, as "
            f"features={{name: tensor}}: {', '.join(names)}."
        )
    if feature.kind == "frames" and value.shape[1] == 0:
        raise ValueError(
            f"{owner}: feature {name!r} wanted one frame or more, got shape {tuple(value.shape)}. "
            "Leave out values without frames."
        )


def _check_alike(owner: str, what: str, counts: Mapping[str, int]) -> None:
    first = next(iter(counts), "")
    for name, count in counts.items():
        if count != counts[first]:
            raise ValueError(
                f"{owner}: wanted as many {what} of each feature, got {counts[first]} of {first!r} "
                f"and {count} of {name!r}. Cut or repeat them."
            )


def _label(place: str, value: Tensor, size: int) -> Tensor:
    if value.is_floating_point() or value.is_complex():
        raise ValueError(
            f"{place} wanted labels, whole numbers from 0 to {size - 1}, got "
            f"{str(value.dtype).removeprefix('torch.')}. Convert them by .long()."
        )
    value = value if value.dtype == torch.long else value.long()
    if may_look(value) and value.numel():
        low, high = (int(end) for end in value.aminmax())
        if low < 0 or high >= size:
            raise ValueError(
                f"{place} wanted labels from 0 to {size - 1}, got {low if low < 0 else high}. "
                "Number them as the data that it was built for does, or build it for more."
            )
    return value
