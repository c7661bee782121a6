"""Encoder of per-value features: condition columns and labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.contract import Context, DataSpec, Features
from distill.functional import is_transformed
from distill.networks.given_features import given_features


class VectorEncoder(nn.Module):
    """Concatenate standardized vectors and one-hot labels: features to a context of rows `(B, C)`.

    Vectors are standardized by the `loc` and `scale` of their spec, where it has them.

    Arguments:
        spec: The data's features, of kinds `vector` and `label`.

    Errors:
        ValueError: Features at frame rate; what `given_features` refuses: a feature that is missing
            or has another shape than the spec says, labels out of range.

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
        framed = [name for name, feature in self.features.items() if feature.kind == "frames"]
        if framed:
            raise ValueError(
                "VectorEncoder: wanted features of kinds vector and label, got frames: "
                f"{', '.join(framed)}. Use FrameEncoder, as WaveNets do."
            )
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
        given = given_features("VectorEncoder", features, self.features)
        parts = [
            _one_hot(value, self.features[name].size) if value.dim() == 1 else value
            for name, value in given.items()
        ]
        rows = torch.cat([part.to(self.loc.dtype) for part in parts], 1)
        return Context((rows - self.loc) / self.scale)

    def loss(self, features: Features) -> dict[str, Tensor]:
        """Return nothing: it estimates nothing that would have to be trained."""
        return {}


def _one_hot(labels: Tensor, size: int) -> Tensor:
    if is_transformed():  # torch's own looks at the labels
        return labels[:, None] == torch.arange(size, device=labels.device)
    return F.one_hot(labels, size)
