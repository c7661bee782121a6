"""The speed of streams: how long a chunk takes, and how exact it is, for every backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from distill.evaluation.stream_table import StreamRow, StreamTable
from distill.evaluation.timing import environment
from distill.export import Exported, Noise, format_of, load
from distill.export.graph import SamplingGraph, example_inputs
from distill.models import Flow
from distill.serving.meter import Meter

_WARM_UP = 5
"""Chunks that do not count: the first of a shape may prepare for all later ones."""


def benchmark_streams(
    student: Flow,
    files: Sequence[Path],
    chunks: Sequence[float] = (0.01, 0.02, 0.05, 0.1),
    seconds: float = 2.0,
    model: str = "student",
    features: Mapping[str, Tensor] | None = None,
) -> StreamTable:
    """Push frames chunk by chunk through the eager student and every exported file.

    A chunk is timed from its frames to its samples, its noise included. The samples of the first
    chunks are compared with one pass of the eager student. Values with a fixed number of sites do
    not stream: their table is empty.

    Arguments:
        student: The student.
        files: What was exported of it.
        chunks: Seconds of sound in a chunk; rounded to whole frames.
        seconds: Most time for a row, about, as far as 30 chunks fit.
        model: What to call it.
        features: One signal's, `(1, F, size)`; random ones by default.

    Errors:
        ValueError: No chunk of positive length, or no time.
    """
    if not chunks or min(chunks) <= 0 or seconds <= 0:
        raise ValueError(
            f"benchmark: wanted chunks and seconds > 0, got chunks={list(chunks)}, "
            f"seconds={seconds}."
        )
    table = StreamTable(environment())
    if student.spec.sites is not None:
        return table
    graph = SamplingGraph(student)
    contestants: list[tuple[str, Callable[[], Exported], float | None]] = [
        ("eager", lambda: _eager(graph), None),
        *((format_of(f), partial(load, f), f.stat().st_size / 1e6) for f in files),
    ]
    for backend, open_file, megabytes in contestants:
        began = time.perf_counter()
        try:
            exported = open_file()
        except Exception as error:
            table.rows.append(StreamRow(model, backend, note=_line(error)))
            continue
        opened = None if megabytes is None else time.perf_counter() - began
        for chunk in chunks:
            row = StreamRow(model, backend, megabytes=megabytes, load=opened)
            table.rows.append(_race(row, exported, graph, chunk, seconds, features))
    return table


def _race(
    row: StreamRow,
    exported: Exported,
    graph: SamplingGraph,
    chunk: float,
    seconds: float,
    features: Mapping[str, Tensor] | None,
) -> StreamRow:
    spec = exported.metadata.spec
    rate = spec.sample_rate or 1
    frames = max(1, round(chunk * rate / spec.hop))
    least = 30 + _WARM_UP
    length = frames * least
    if features is None:
        _, features = example_inputs(exported.metadata, 1, 0, length, exported.dtype)
    framed = {k: v for k, v in features.items() if k in exported.metadata.frames}
    fixed = {k: v for k, v in features.items() if k not in framed}

    def part(i: int) -> Mapping[str, Tensor] | int:
        rows = torch.arange(i * frames, (i + 1) * frames)
        return {k: v[0, rows % v.shape[1]] for k, v in framed.items()} or frames

    stream = exported.stream(seed=0, features=fixed)
    meter, drawn = Meter(rate), []
    began, i = time.perf_counter(), 0
    while i < least or time.perf_counter() - began < seconds:
        frames_in, start = part(i), time.perf_counter()
        samples = stream.push(frames_in)
        now = time.perf_counter()
        if i >= _WARM_UP:
            meter.add(now - start, len(samples), now)
        if i < least:
            drawn.append(samples)
        i += 1
    whole = _whole(graph, fixed, [part(j) for j in range(least)])
    got = torch.cat(drawn)
    numbers = meter.numbers()
    return replace(
        row,
        chunk=frames * spec.hop / rate,
        p50=numbers["latency_p50_ms"] / 1e3,
        p99=numbers["latency_p99_ms"] / 1e3,
        factor=numbers["real_time_factor"],
        error=(got - whole[: len(got)]).abs().max().item(),
        chunks=int(numbers["chunks"]),
    )


def _whole(
    graph: SamplingGraph, fixed: Mapping[str, Tensor], parts: Sequence[Mapping[str, Tensor] | int]
) -> Tensor:
    """Draw what the parts say in one pass of the eager model, with the noise of a stream."""
    spec = graph.metadata.spec
    framed = [part for part in parts if not isinstance(part, int)]
    joined = {k: torch.cat([part[k] for part in framed])[None] for k in graph.metadata.frames}
    total = sum(part if isinstance(part, int) else len(next(iter(part.values()))) for part in parts)
    source = Noise(graph.metadata.base, seed=0, dtype=graph.metadata.dtype)
    noise = torch.from_numpy(source.draw(total * spec.hop))[None]
    with torch.no_grad():
        return graph.whole(noise, {**joined, **fixed})[0][0]


def _eager(graph: SamplingGraph) -> Exported:
    return Exported(graph.metadata, torch.no_grad()(graph.forward), "eager")


def _line(error: Exception) -> str:
    return f"unavailable: {' '.join(str(error).split())[:120]}"
