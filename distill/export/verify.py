"""Is an exported file the model it was written from?"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from distill.export.exported import Exported
from distill.export.graph import SamplingGraph
from distill.export.metadata import dtype_of
from distill.models import Flow

_PROBE = 1024


class ExportMismatch(ValueError):  # noqa: N818  - it names what happened
    """An exported file does not compute what the model computes."""


@dataclass(frozen=True)
class Verification:
    """Largest differences between an exported file and the eager model.

    Arguments:
        backend: Name of the backend.
        batch_sizes: Batch sizes that were run.
        x: Largest absolute difference of samples.
        log_prob: Largest absolute difference of log-probs per site.
        relative: The larger one, each in units of its output's own scale, `max(1, max|.|)`.
        rounding_x: Largest distance of the eager model's samples to its own in float64.
        rounding_log_prob: The same for log-probs.
    """

    backend: str
    batch_sizes: tuple[int, ...]
    x: float
    log_prob: float
    relative: float
    rounding_x: float
    rounding_log_prob: float

    def to_dict(self) -> dict[str, object]:
        """Return plain values, for a JSON file."""
        return {**asdict(self), "batch_sizes": list(self.batch_sizes)}


@torch.no_grad()
def verify(
    exported: Exported,
    model: Flow,
    backend: str,
    batch_sizes: Sequence[int] = (1, 3, 64),
    tolerance: float = 1e-6,
    seed: int = 0,
) -> Verification:
    """Run a loaded file and the eager model on the same inputs, at several batch sizes.

    Two orders of summation differ by a rounding error, which a stiff flow magnifies: where a
    spline is steep, the log-prob of a few values in a thousand loses digits. So the limit is
    `tolerance`, or four times the model's own rounding error (the largest distance to itself in
    float64 over a thousand values) where that is larger; both are reported.

    Arguments:
        exported: The loaded file.
        model: The model that it was written from.
        backend: Name, for the report.
        batch_sizes: Batch sizes to run, 1 among them.
        tolerance: Largest difference in units of the output's scale.
        seed: Of the noise and the features.

    Errors:
        ExportMismatch: A larger difference, another shape, or metadata of another model.
    """
    graph = SamplingGraph(model)
    if exported.metadata.weights != graph.metadata.weights:
        raise ExportMismatch(f"{backend}: {exported.path} was written from another model.")
    rounding = _rounding(graph, seed) if dtype_of(model) == torch.float32 else (0.0, 0.0)
    worst, relative = [0.0, 0.0], 0.0
    for i, batch in enumerate(batch_sizes):
        noise, features = graph.example(batch, seed + i, frames=3 + 2 * i)
        eager = graph(noise, features)
        for j, (got, wanted) in enumerate(zip(exported(noise, features), eager, strict=True)):
            if got.shape != wanted.shape or got.dtype != wanted.dtype:
                raise ExportMismatch(
                    f"{backend}: at batch size {batch} wanted {tuple(wanted.shape)} "
                    f"{wanted.dtype}, got {tuple(got.shape)} {got.dtype}."
                )
            scale = max(1.0, wanted.abs().max().item())
            error, limit = _distance(got, wanted), max(tolerance * scale, 4 * rounding[j])
            worst[j] = max(worst[j], error)
            relative = max(relative, error / scale)
            if not error <= limit:
                raise ExportMismatch(
                    f"{backend}: differs from the eager model by {error:.1e} in "
                    f"{('x', 'log_prob')[j]}; the tolerance is {limit:.1e}."
                )
    return Verification(backend, tuple(batch_sizes), worst[0], worst[1], relative, *rounding)


def _rounding(graph: SamplingGraph, seed: int) -> tuple[float, float]:
    """Return the largest distances of the eager model's outputs to its own in float64."""
    double = copy.deepcopy(graph).double()
    noise, features = graph.example(_PROBE, seed, frames=8)
    x, log_prob = graph(noise, features)
    exact = double(noise.double(), {k: _double(v) for k, v in features.items()})
    return _distance(x, exact[0]), _distance(log_prob, exact[1])


def _distance(a: Tensor, b: Tensor) -> float:
    difference = (a.double() - b.double()).abs().max().item()
    return difference if difference == difference else float("inf")


def _double(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value
