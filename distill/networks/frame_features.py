"""Features at frame rate: where each lies side by side, and which are not there."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from distill.contract import DataSpec, Features, FeatureSpec


def channels_of(spec: DataSpec) -> dict[str, slice]:
    """Return where each feature of kind `frames` lies, when all of them stand side by side."""
    places, first = {}, 0
    for name, feature in spec.features.items():
        if feature.kind == "frames":
            places[name] = slice(first, first + feature.size)
            first += feature.size
    return places


def with_missing(features: Features, specs: Mapping[str, FeatureSpec]) -> dict[str, Tensor]:
    """Return features with NaN in every frame of the optional ones that are not there.

    Arguments:
        features: By name, `(B, F, size)`, or without the batch, `(F, size)`.
        specs: Of all features.

    Example:
        >>> import torch
        >>> specs = {"mel": FeatureSpec("frames", 3), "f0": FeatureSpec("frames", 2, optional=True)}
        >>> with_missing({"mel": torch.zeros(1, 1, 3)}, specs)["f0"]
        tensor([[[nan, nan]]])
    """
    found = dict(features or {})
    given = [found[name] for name, f in specs.items() if f.kind == "frames" and name in found]
    for name, feature in specs.items():
        if feature.optional and name not in found and given:
            found[name] = given[0].new_full((*given[0].shape[:-1], feature.size), math.nan)
    return found


def is_centered(spec: DataSpec) -> bool:
    """Return whether a frame's features are those of its middle, or else of its start."""
    return spec.settings.get("mel", {}).get("align", "middle") == "middle"
