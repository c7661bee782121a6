"""The graph that every backend writes: noise and features in, samples and log-prob out."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from distill.bijectors import Autoregressive, Inverse
from distill.contract import FeatureSpec
from distill.export.metadata import Metadata, describe, dtype_of
from distill.models import Flow

EXAMPLE_BATCH = 2  # 0 and 1 would be taken for constants of the graph
EXAMPLE_FRAMES = 8


class SamplingGraph(nn.Module):
    """A frozen copy of a flow's sampling direction, `(noise, features) -> (x, log_prob)`.

    Noise is an input: backends then agree number by number, and one seed means one sample.

    Arguments:
        model: A flow that draws in parallel.

    Errors:
        ValueError: Not a flow, or one that draws site after site.
    """

    def __init__(self, model: Flow) -> None:
        super().__init__()
        _check_parallel(model)
        self.model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        self.metadata = describe(self.model)

    def forward(self, noise: Tensor, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Draw, and score what is drawn."""
        draw = self.model.draw(noise, features or None)
        return draw.x, draw.log_prob

    def trace(self) -> torch.export.ExportedProgram:
        """Trace into a program of any batch, and of any length where the data has none."""
        spec = self.metadata.spec
        batch = torch.export.Dim("batch")
        framed = spec.sites is None and any(f.kind == "frames" for f in spec.features.values())
        length: Any = torch.export.Dim("frames" if framed else "sites")
        noise: dict[int, Any] = {0: batch}
        if spec.sites is None:
            noise[1] = spec.hop * length if framed and spec.hop > 1 else length
        features = {
            name: {0: batch, 1: length} if f.kind == "frames" and framed else {0: batch}
            for name, f in spec.features.items()
        }
        with torch.no_grad():
            program = torch.export.export(
                self, self.example(EXAMPLE_BATCH), dynamic_shapes=(noise, features)
            )
        for node in program.graph.nodes:  # Where the code lay is nobody's business.
            node.meta.pop("stack_trace", None)
        return program

    def example(self, batch: int, seed: int = 0, frames: int = EXAMPLE_FRAMES) -> tuple[Any, ...]:
        """Return noise and features of the right shapes and random values."""
        return example_inputs(self.metadata, batch, seed, frames, dtype_of(self.model))


def example_inputs(
    metadata: Metadata, batch: int, seed: int, frames: int, dtype: torch.dtype
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return noise and features as `metadata` describes them."""
    spec, generator = metadata.spec, torch.Generator().manual_seed(seed)
    sites = spec.hop * frames if spec.sites is None else spec.sites
    noise = torch.randn(batch, sites, generator=generator, dtype=dtype)

    def value(feature: FeatureSpec) -> Tensor:
        if feature.kind == "label":
            return torch.randint(feature.size, (batch,), generator=generator)
        shape: tuple[int, ...] = (batch, feature.size)
        if feature.kind == "frames":
            shape = (batch, sites // spec.hop, feature.size)
        values = torch.randn(shape, generator=generator, dtype=dtype)
        if feature.scale:
            values = values * torch.tensor(feature.scale, dtype=dtype)
        return values + torch.tensor(feature.loc, dtype=dtype) if feature.loc else values

    return noise, {name: value(feature) for name, feature in spec.features.items()}


def _check_parallel(model: Flow) -> None:
    if not isinstance(model, Flow):
        raise ValueError(
            f"export: wanted a flow, whose draws carry their log-prob; got {type(model).__name__}."
        )
    for module in model.modules():
        if isinstance(module, Inverse) and isinstance(module.bijector, Autoregressive):
            raise ValueError(
                "export: wanted a flow that draws in parallel; this one (a MAF) draws site after "
                "site. Distill it into an IAF and export that."
            )
