"""Matrix products in bfloat16, everything between them in float32."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn
from torch.nn import functional as F

from distill.export.backend import Backend
from distill.export.graph import SamplingGraph
from distill.export.lean import LeanLayer
from distill.export.verify import Limit


class BFloat16Linear(nn.Module):
    """A linear map with inputs and weights in bfloat16; the bias is added in float32.

    Arguments:
        linear: The float32 map.

    Example:
        >>> import torch
        >>> linear = nn.Linear(4, 3)
        >>> y = BFloat16Linear(linear)(torch.ones(2, 4))
        >>> y.dtype, (y - linear(torch.ones(2, 4))).abs().max().item() < 0.02
        (torch.float32, True)
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().bfloat16(), requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis."""
        y = F.linear(x.bfloat16(), self.weight).to(x.dtype)
        return y if self.bias is None else y + self.bias


def in_bfloat16(graph: SamplingGraph) -> SamplingGraph:
    """Replace the products of all lean layers, nearly all of a WaveNet flow's work.

    The residual path, the gates, the context's projection and the last maps, which set each site's
    location and scale, stay in float32.

    Errors:
        ValueError: No gated layer, or a model that is not in float32.
    """
    layers = [module for module in graph.modules() if isinstance(module, LeanLayer)]
    if not layers or graph.metadata.dtype != "float32":
        raise ValueError(
            "export: bfloat16 wanted a float32 model of WaveNet flows, the only one where it pays. "
            "Export this one in full precision."
        )
    for layer in layers:
        for name in ("taps", "out"):
            setattr(layer, name, BFloat16Linear(getattr(layer, name)))
    graph.metadata = replace(graph.metadata, precision="bfloat16")
    return graph


class WithBFloat16(Backend):
    """A backend that also writes files with matrix products in bfloat16, under a name of their own.

    Arguments:
        precision: `full`, or `bfloat16` for the matrix products of WaveNet layers.
        decibels: With `bfloat16`: least ratio of the samples' power to their error's for a file to
            be accepted.

    Errors:
        ValueError: Another precision.
    """

    def __init__(self, precision: str = "full", decibels: float = 30.0) -> None:
        if precision not in ("full", "bfloat16"):
            name = type(self).__name__
            raise ValueError(f"{name}: wanted precision=full or bfloat16, got {precision!r}.")
        self.precision = precision
        if precision == "bfloat16":
            self.name, self.suffix = f"{self.name} bf16", f".bf16{self.suffix}"
            self.limit = Limit(decibels=decibels)

    def reduced(self, graph: SamplingGraph) -> SamplingGraph:
        """Return the graph in the precision that is to be written."""
        return in_bfloat16(graph) if self.precision == "bfloat16" else graph
