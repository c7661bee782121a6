"""Encoder of per-value features: condition columns and labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.contract import Context, DataSpec, Features


class VectorEncoder(nn.Module):
    """Concatenate standardized vectors and one-hot labels: features to a context of rows `(B, C)`.

    Vectors are standardized by the `loc` and `scale` of their spec, where it has them.

    Arguments:
        spec: The data's features, of kinds `vector` and `label`.

    Errors:
        ValueError: A feature is missing, or has another shape than the spec says.

    Example:
        >>> from distill.contract import FeatureSpec
        >>> encoder = VectorEncoder(DataSpec(sites=2, features={"digit": FeatureSpec("label", 3)}))
        >>> encoder({"digit": torch.tensor([2])}).rows.tolist()
        [[0.0, 0.0, 1.0]]
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.features = dict(spec.features)
        self.channels = sum(feature.size for feature in self.features.values())
        loc, scale = [torch.zeros(0)], [torch.zeros(0)]
        for feature in self.features.values():
            loc.append(torch.tensor(feature.loc or [0.0] * feature.size))
            scale.append(torch.tensor(feature.scale or [1.0] * feature.size))
        # Not persistent: they travel in the spec.
        self.register_buffer("loc", torch.cat(loc), persistent=False)
        self.register_buffer("scale", torch.cat(scale), persistent=False)
        if not len(self.loc) == len(self.scale) == self.channels:
            raise ValueError(
                "VectorEncoder: wanted as many locations and scales as channels of each feature, "
                f"{self.channels} in all; got {len(self.loc)} and {len(self.scale)}."
            )

    def forward(self, features: Features) -> Context:
        """Encode one batch."""
        missing = [name for name in self.features if not features or name not in features]
        if missing or features is None:
            raise ValueError(
                f"VectorEncoder: wanted the features {', '.join(self.features)}; missing "
                f"{', '.join(missing)}. Pass them as a dict, features={{name: tensor}}."
            )
        parts = []
        for name, feature in self.features.items():
            value = features[name]
            if feature.kind == "label":
                value = F.one_hot(value, feature.size)
            if value.dim() != 2 or value.shape[1] != feature.size:
                raise ValueError(
                    f"VectorEncoder: feature {name!r} wanted shape (batch, {feature.size}), got "
                    f"{tuple(value.shape)}."
                )
            parts.append(value.to(self.loc.dtype))
        return Context((torch.cat(parts, 1) - self.loc) / self.scale)

    def loss(self, features: Features) -> dict[str, Tensor]:
        """Return nothing: it estimates nothing that would have to be trained."""
        return {}
