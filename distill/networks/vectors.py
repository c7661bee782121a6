"""Encoder of per-value features: condition columns and labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from distill.contract import DataSpec, Features


class VectorEncoder(nn.Module):
    """Concatenate vectors as they are and labels as one-hot codes: features to context `(B, C)`.

    Arguments:
        spec: The data's features, of kinds `vector` and `label`.

    Errors:
        ValueError: A feature is missing, or has another shape than the spec says.

    Example:
        >>> from distill.contract import FeatureSpec
        >>> encoder = VectorEncoder(DataSpec(sites=2, features={"digit": FeatureSpec("label", 3)}))
        >>> encoder({"digit": torch.tensor([2])}).tolist()
        [[0.0, 0.0, 1.0]]
    """

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.features = dict(spec.features)
        self.channels = sum(feature.size for feature in self.features.values())
        self.register_buffer("like", torch.zeros(()), persistent=False)

    def forward(self, features: Features) -> Tensor:
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
            parts.append(value.to(self.like.dtype))
        return torch.cat(parts, 1)
