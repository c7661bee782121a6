"""Is an exported file the model it was written from?"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from distill.export.exported import Exported
from distill.export.graph import SamplingGraph
from distill.export.inputs import lead_in
from distill.export.metadata import dtype_of
from distill.models import Flow

_PROBE = 8192  # sites whose rounding errors are measured
_POLES = 10  # times what a filter's poles may magnify a rounding error of its excitation
_CHUNKS = (1, 3, 2, 50)  # frames a chunk, in turn


class ExportMismatch(ValueError):  # noqa: N818  - it names what happened
    """An exported file does not compute what the model computes."""


@dataclass(frozen=True)
class Limit:
    """How far a file may be from its model.

    Arguments:
        tolerance: Largest difference, in units of the output's scale, `max(1, max|.|)`; ten times
            that where a filter follows the graph.
        decibels: For reduced precision: no limit for single values, but the samples' power over the
            power of their error must be at least this.
    """

    tolerance: float = 1e-6
    decibels: float | None = None


@dataclass(frozen=True)
class Verification:
    """Differences between an exported file and the eager model, over whole values and chunks.

    Arguments:
        backend: Name of the backend.
        limit: What it was held to.
        batch_sizes: Batch sizes that were run.
        frames: Lengths that were run, in frames; none where values have a fixed number of sites.
        chunks: Frames of the chunks that each was run in besides.
        x: Largest absolute difference of samples.
        log_prob: Largest absolute difference of log-probs per site.
        chunked_x: Largest absolute difference of samples drawn in chunks.
        chunked_log_prob: The same of log-probs.
        rms_x: Root mean square of the samples' differences, chunks included.
        rms_log_prob: The same of log-probs.
        decibels: Power of the samples over the power of their differences; none if there are none.
        relative: The largest difference, each in units of its output's own scale, `max(1, max|.|)`.
        rounding_x: Largest distance of the eager model's samples to its own in float64.
        rounding_log_prob: The same for log-probs.
    """

    backend: str
    limit: Limit
    batch_sizes: tuple[int, ...]
    frames: tuple[int, ...]
    chunks: tuple[int, ...]
    x: float
    log_prob: float
    chunked_x: float
    chunked_log_prob: float
    rms_x: float
    rms_log_prob: float
    decibels: float | None
    relative: float
    rounding_x: float
    rounding_log_prob: float

    def __str__(self) -> str:
        text = f"off eager by {self.x:.1e} in x, {self.log_prob:.1e} in log_prob"
        if self.chunks:
            text += f"; in chunks by {self.chunked_x:.1e}, {self.chunked_log_prob:.1e}"
        if self.limit.decibels is not None and self.decibels is not None:
            text += f"; x is {self.decibels:.1f} dB above its error"
        return text

    def to_dict(self) -> dict[str, object]:
        """Return plain values, for a JSON file."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


@torch.no_grad()
def verify(
    exported: Exported,
    model: Flow,
    backend: str,
    batch_sizes: Sequence[int] | None = None,
    limit: Limit | None = None,
    seed: int = 0,
) -> Verification:
    """Run a loaded file and the eager model on the same inputs, whole and in chunks.

    Two orders of summation differ by a rounding error, which a stiff flow magnifies: where a
    spline is steep, the log-prob of a few values in a thousand loses digits. So the limit is
    `tolerance`, or four times the model's own rounding error (the largest distance to itself in
    float64 over thousands of sites) where that is larger; both are reported. Files of reduced
    precision are held to a signal-to-error ratio instead.

    Arguments:
        exported: The loaded file.
        model: The model that it was written from.
        backend: Name, for the report.
        batch_sizes: Batch sizes to run, 1 among them, each at another length.
        limit: How far they may differ.
        seed: Of the noise and the features.

    Errors:
        ExportMismatch: A larger difference, another shape, or metadata of another model.
    """
    limit = limit or Limit()
    graph = SamplingGraph(model)
    if exported.metadata.weights != graph.metadata.weights:
        raise ExportMismatch(f"{backend}: {exported.path} was written from another model.")
    streams = graph.metadata.streams
    tolerance = limit.tolerance * (_POLES if graph.metadata.filter_order else 1)
    sizes = tuple(batch_sizes or ((1, 3) if streams else (1, 3, 64)))
    rounding = _rounding(graph, seed) if dtype_of(model) == torch.float32 else (0.0, 0.0)
    parts = {"whole": (_Tally(), _Tally()), "in chunks": (_Tally(), _Tally())}
    lengths = tuple(3 + 4 * i for i in range(len(sizes))) if streams else ()
    for i, batch in enumerate(sizes):
        noise, features = graph.example(batch, seed + i, lengths[i] if streams else 1)
        eager = graph.whole(noise, features)
        runs = {"whole": exported(noise, features)}
        if streams:
            runs["in chunks"] = in_chunks(exported, noise, features)
        for how, outputs in runs.items():
            for j, (got, wanted) in enumerate(zip(outputs, eager, strict=True)):
                what = f"{backend}: {('x', 'log_prob')[j]} at batch size {batch}, {how},"
                if got.shape != wanted.shape or got.dtype != wanted.dtype:
                    raise ExportMismatch(
                        f"{what} wanted {tuple(wanted.shape)} {wanted.dtype}, got "
                        f"{tuple(got.shape)} {got.dtype}."
                    )
                error, scale = parts[how][j].add(got, wanted)
                allowed = max(tolerance * scale, 4 * rounding[j])
                if not error <= (allowed if limit.decibels is None else math.inf):
                    raise ExportMismatch(
                        f"{what} differs from the eager model by {error:.1e}; the tolerance is "
                        f"{allowed:.1e}."
                    )
    x, log_prob = (parts["whole"][j] + parts["in chunks"][j] for j in range(2))
    if limit.decibels is not None and not x.decibels >= limit.decibels:
        raise ExportMismatch(
            f"{backend}: its samples are {x.decibels:.1f} dB above their error; the limit is "
            f"{limit.decibels:.1f} dB. Use a file of full precision for this model."
        )
    return Verification(
        backend,
        limit,
        sizes,
        lengths,
        _CHUNKS if streams else (),
        parts["whole"][0].worst,
        parts["whole"][1].worst,
        parts["in chunks"][0].worst,
        parts["in chunks"][1].worst,
        x.rms,
        log_prob.rms,
        None if math.isinf(x.decibels) else x.decibels,
        max(x.relative, log_prob.relative),
        *rounding,
    )


def in_chunks(
    exported: Exported,
    noise: Tensor,
    features: dict[str, Tensor],
    sizes: Sequence[int] = _CHUNKS,
) -> tuple[Tensor, Tensor]:
    """Draw whole values in chunks of so many frames, in turn; return `x` and `log_prob`."""
    metadata = exported.metadata
    hop, frames = metadata.spec.hop, noise.shape[1] // metadata.spec.hop
    first, rest = lead_in(metadata, features)
    state = exported.start(first, batch=noise.shape[0])
    drawn: list[tuple[Tensor, Tensor]] = []
    for a, b in _spans(frames, sizes):
        part = {k: v[:, a:b] if k in metadata.frames else v for k, v in rest.items()}
        x, log_prob, state = exported.run(state, noise[:, a * hop : b * hop], part)
        drawn.append((x, log_prob))
    x, log_prob = (torch.cat(values, 1) for values in zip(*drawn, strict=True))
    return x, log_prob


def _spans(frames: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    a, i = 0, 0
    while a < frames:
        b = min(frames, a + sizes[i % len(sizes)])
        yield a, b
        a, i = b, i + 1


@dataclass
class _Tally:
    """Running sums of the differences of one output."""

    worst: float = 0.0
    relative: float = 0.0
    error: float = 0.0
    power: float = 0.0
    count: int = 0

    def add(self, got: Tensor, wanted: Tensor) -> tuple[float, float]:
        """Take in one comparison; return its largest difference and the scale."""
        difference, scale = _distance(got, wanted), max(1.0, wanted.abs().max().item())
        self.worst = max(self.worst, difference)
        self.relative = max(self.relative, difference / scale)
        self.error += (got.double() - wanted.double()).square().sum().item()
        self.power += wanted.double().square().sum().item()
        self.count += wanted.numel()
        return difference, scale

    def __add__(self, other: _Tally) -> _Tally:
        return _Tally(
            max(self.worst, other.worst),
            max(self.relative, other.relative),
            self.error + other.error,
            self.power + other.power,
            self.count + other.count,
        )

    @property
    def rms(self) -> float:
        """Root mean square of the differences."""
        return math.sqrt(self.error / max(1, self.count))

    @property
    def decibels(self) -> float:
        """Power of the values over the power of their differences."""
        if self.error != self.error:
            return -math.inf
        return 10 * math.log10(max(self.power, 1e-300) / self.error) if self.error else math.inf


def _rounding(graph: SamplingGraph, seed: int) -> tuple[float, float]:
    """Return the largest distances of the eager model's outputs to its own in float64."""
    double = copy.deepcopy(graph).double()
    spec = graph.metadata.spec
    sites = spec.sites or 8 * spec.hop
    noise, features = graph.example(max(1, _PROBE // sites), seed, frames=8)
    x, log_prob = graph.whole(noise, features)
    exact = double.whole(noise.double(), {k: _double(v) for k, v in features.items()})
    return _distance(x, exact[0]), _distance(log_prob, exact[1])


def _distance(a: Tensor, b: Tensor) -> float:
    difference = (a.double() - b.double()).abs().max().item()
    return difference if difference == difference else float("inf")


def _double(value: Tensor) -> Tensor:
    return value.double() if value.is_floating_point() else value
