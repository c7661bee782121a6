"""The comparison of streams: how long a chunk takes, and how exact it is, for every backend."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from distill.benchmark.calibration import Calibrator, MakeCalibrator
from distill.benchmark.counting import Work, count
from distill.benchmark.environment import environment
from distill.benchmark.race import reason
from distill.benchmark.stream_row import StreamRow
from distill.benchmark.stream_table import StreamTable
from distill.benchmark.timing import Turn, take_turns
from distill.evaluation.placing import place_of
from distill.export import Exported, Noise, Stream, format_of, load
from distill.export.graph import SamplingGraph, example_inputs
from distill.models import Flow
from distill.progress import tracked

_WARM_UP = 5
"""Chunks that do not count: the first of a shape may prepare for all later ones."""
_LEAST = 30
"""Chunks of each that count, however long they take; these are compared with one pass."""

Part = Mapping[str, Tensor] | int
"""A chunk's frames, or how many of them."""


@dataclass
class _Streamer:
    """One backend's stream of one length of chunks: each turn pushes the next chunk."""

    row: StreamRow
    stream: Stream
    parts: Sequence[Part]
    drawn: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rest: Iterator[Part] = iter(self.parts)

    def push(self) -> None:
        self.drawn.append(self.stream.push(next(self._rest)))


def benchmark_streams(
    student: Flow,
    files: Sequence[Path],
    chunks: Sequence[float] = (0.01, 0.02, 0.05, 0.1),
    pushes: int = 200,
    seconds: float = 2.0,
    model: str = "student",
    features: Mapping[str, Tensor] | None = None,
    eager: bool = True,
    calibrator: MakeCalibrator = Calibrator,
) -> StreamTable:
    """Push frames chunk by chunk through the eager student and every exported file, in turns.

    A chunk is timed from its frames to its samples, its noise included. The samples of the first
    chunks are compared with one pass of the eager student. Values with a fixed number of sites do
    not stream: their table is empty.

    Arguments:
        student: The student.
        files: What was exported of it.
        chunks: Seconds of sound in a chunk; rounded to whole frames.
        pushes: Chunks of each that count.
        seconds: Most time for a row, about, as far as 30 chunks fit.
        model: What to call it.
        features: One signal's, `(1, F, size)`; random ones by default.
        eager: Whether the eager student takes part.
        calibrator: Makes what measures the machine's roofs.

    Errors:
        ValueError: No chunk of positive length, no time, or no chunks.
    """
    if not chunks or min(chunks) <= 0 or seconds <= 0 or pushes < 1:
        raise ValueError(
            f"benchmark: wanted chunks and seconds > 0 and pushes >= 1, got chunks={list(chunks)}, "
            f"seconds={seconds}, pushes={pushes}."
        )
    dtype = place_of(student)[1]
    table = StreamTable(environment(dtype=dtype))
    if student.spec.sites is not None:
        return table
    graph = SamplingGraph(student)
    contestants: list[tuple[str, Callable[[], Exported], float | None]] = [
        *([("eager", lambda: _eager(graph), None)] if eager else []),
        *((format_of(f), partial(load, f), f.stat().st_size / 1e6) for f in files),
    ]
    opened: list[tuple[StreamRow, Exported]] = []
    for backend, open_file, megabytes in contestants:
        began = time.perf_counter()
        try:
            exported = open_file()
        except Exception as error:
            table.rows.append(StreamRow(model, backend, note=reason(error)))
            continue
        took = None if megabytes is None else time.perf_counter() - began
        opened.append((StreamRow(model, backend, megabytes=megabytes, load=took), exported))
    roof = calibrator(torch.device("cpu"), dtype)
    for chunk in tracked(chunks, "compare streams", unit="lengths of chunks"):
        roof.measure()
        table.rows += _race(opened, graph, chunk, pushes, seconds, features)
    roof.measure()
    table.calibrations["cpu"] = roof.result()
    order = [name for name, *_ in contestants]
    table.rows.sort(key=lambda row: (order.index(row.backend), row.chunk))
    return table


def _race(
    opened: Sequence[tuple[StreamRow, Exported]],
    graph: SamplingGraph,
    chunk: float,
    pushes: int,
    seconds: float,
    features: Mapping[str, Tensor] | None,
) -> list[StreamRow]:
    metadata, spec = graph.metadata, graph.metadata.spec
    rate = spec.sample_rate or 1
    frames = max(1, round(chunk * rate / spec.hop))
    warm_up = max(_WARM_UP, math.ceil(metadata.latency / frames) + 1)
    compared = warm_up + _LEAST
    if features is None:
        dtype = getattr(torch, metadata.dtype)
        _, features = example_inputs(metadata, 1, 0, frames * compared, dtype)
    framed = {k: v for k, v in features.items() if k in metadata.frames}
    fixed = {k: v for k, v in features.items() if k not in framed}
    parts = [_part(framed, i, frames) for i in range(warm_up + pushes)]
    sites = frames * spec.hop
    streamers = [
        _Streamer(
            replace(row, chunk=sites / rate, sites=sites),
            exported.stream(seed=0, features=fixed),
            parts,
        )
        for row, exported in opened
    ]
    turns = [Turn(streamer.push) for streamer in streamers]
    timings = take_turns(turns, pushes, warm_up, seconds, min(_LEAST, pushes))
    whole = _whole(graph, fixed, parts[:compared])
    work = _work(graph, fixed, parts[: warm_up + 1])
    rows = []
    for streamer, timing in zip(streamers, timings, strict=True):
        if isinstance(timing, Exception):
            rows.append(replace(streamer.row, note=reason(timing)))
            continue
        # One pass repeats the last frame; what a stream gave of these chunks ends before it.
        got = torch.cat(streamer.drawn[:compared])
        error = (got - whole[: len(got)]).abs().max().item()
        rows.append(replace(streamer.row, timing=timing, work=work, error=error))
    return rows


def _part(framed: Mapping[str, Tensor], i: int, frames: int) -> Part:
    rows = torch.arange(i * frames, (i + 1) * frames)
    return {k: v[0, rows % v.shape[1]] for k, v in framed.items()} or frames


def _whole(graph: SamplingGraph, fixed: Mapping[str, Tensor], parts: Sequence[Part]) -> Tensor:
    """Draw what the parts say in one pass of the eager model, with the noise of a stream."""
    spec = graph.metadata.spec
    framed = [part for part in parts if not isinstance(part, int)]
    joined = {k: torch.cat([part[k] for part in framed])[None] for k in graph.metadata.frames}
    total = sum(part if isinstance(part, int) else len(next(iter(part.values()))) for part in parts)
    source = Noise(graph.metadata.base, seed=0, dtype=graph.metadata.dtype)
    noise = torch.from_numpy(source.draw(total * spec.hop))[None]
    with torch.no_grad():
        return graph.whole(noise, {**joined, **fixed})[0][0]


def _work(graph: SamplingGraph, fixed: Mapping[str, Tensor], parts: Sequence[Part]) -> Work:
    """Count the last of some chunks, in eager torch: the plain twin of every backend."""
    stream = _eager(graph).stream(seed=0, features=fixed)
    for part in parts[:-1]:
        stream.push(part)
    return count(lambda: stream.push(parts[-1]))


def _eager(graph: SamplingGraph) -> Exported:
    return Exported(graph.metadata, torch.no_grad()(graph.forward), "eager")
