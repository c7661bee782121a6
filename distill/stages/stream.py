"""Speak from an exported student as frames come in, chunk by chunk.

`input` is a .npy or .pt file of frames, audio, or - for stdin: raw little-endian float32 frames, or
the content of such a file. without=[f0,phase] says that raw frames lack these, which the model then
finds in the mel. `output` is a .wav file, - for raw 16-bit samples on stdout, or device for the
sound card. With pace=realtime frames come no faster than they are spoken.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from torch import Tensor

from distill.checks import check_number, check_seed
from distill.export import Stream
from distill.frames import FrameLayout
from distill.serving import StreamMetrics, check_sink, open_sink, open_source, pcm
from distill.serving.sinks import Write
from distill.stages.export_file import exported_of
from distill.stages.folders import device_of

_CHUNK = 0.02
"""Seconds of sound in a chunk, where `chunk` does not say its frames."""


def run(config: DictConfig) -> dict[str, float]:
    """Stream from `input` to `output`, and print latency, speed and underruns.

    Errors:
        FileExistsError: The output exists and `overwrite` is not set.
        ValueError: An input, output, pace or chunk that does not fit.
    """
    _check(config)
    device_of(config)  # sets the number of threads
    pipe: Any = getattr(sys.stdout, "buffer", sys.__stdout__)  # a notebook's has none
    # Where samples go to stdout, nothing else may.
    with contextlib.redirect_stdout(sys.stderr if config.output == "-" else sys.stdout):
        exported = exported_of(config)
        layout = FrameLayout(exported.metadata.spec, config.without)
        chunk = int(config.chunk or 0) or max(1, round(_CHUNK * layout.rate / layout.hop))
        labels = layout.labels({"speaker": config.speaker, "label": config.label})

        def start() -> Stream:
            return exported.stream(
                temperature=config.temperature, seed=config.seed, features=labels, warn=False
            )

        given: Any = getattr(sys.stdin, "buffer", sys.__stdin__)
        rows = open_source(str(config.input), layout, chunk, given)
        rows = (part.astype(exported.metadata.dtype) for part in rows)
        first = next(rows)
        start().push(np.repeat(first[:1], len(first) + exported.metadata.latency, 0))  # to warm up
        stream, metrics = start(), StreamMetrics(layout.rate, lead=layout.seconds(chunk))
        rows = _paced(itertools.chain([first], rows), layout, config.pace)
        try:
            with open_sink(str(config.output), layout.rate, config.overwrite, pipe) as write:
                for part in rows:
                    _speak(lambda: stream.push(part), write, metrics)  # noqa: B023 - called at once
                _speak(stream.finish, write, metrics)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), pipe.fileno())
            print("the reader has gone")
        if stream.remark:
            print(f"{config.input}: {stream.remark}")
        return _report(metrics, layout.seconds(chunk), stream.latency)


def _check(config: DictConfig) -> None:
    for name in ("input", "output"):
        if config[name] is None:
            raise ValueError(f"{name}: no value. Give one with {name}=FILE or {name}=-.")
    # As the process was given them: what is closed, the command line replaces by nowhere.
    pipes = {"input": ("stdin", sys.stdin), "output": ("stdout", sys.__stdout__)}
    for key, (name, pipe) in pipes.items():
        if config[key] == "-" and pipe is None:
            raise ValueError(f"{key}=-: {name} is closed. Name a file with {key}=FILE.")
    check_seed(config.seed)
    check_number("temperature", config.temperature, low=0)
    if config.pace not in ("fast", "realtime"):
        raise ValueError(f"pace: wanted fast or realtime, got {config.pace!r}.")
    if config.chunk is not None:
        check_number("chunk", config.chunk, low=1, whole=True)
    check_sink(str(config.output), config.overwrite)
    source, sink = (Path(str(config[name])).expanduser() for name in ("input", "output"))
    if sink.exists() and source.exists() and source.samefile(sink):
        raise ValueError(
            f"output: {sink} is the input too, which would be lost. Name another file."
        )


def _paced(rows: Iterator[np.ndarray], layout: FrameLayout, pace: str) -> Iterator[np.ndarray]:
    """Hold each chunk back until it would have been spoken."""
    began, frames = time.monotonic(), 0
    for part in rows:
        frames += len(part)
        if pace == "realtime":
            time.sleep(max(0.0, began + layout.seconds(frames) - time.monotonic()))
        yield part


def _speak(call: Callable[[], Tensor], write: Write, metrics: StreamMetrics) -> None:
    began = time.monotonic()
    samples = pcm(call().numpy())
    now = time.monotonic()
    metrics.add(now - began, len(samples), now)
    write(samples)


def _report(metrics: StreamMetrics, chunk: float, latency: float) -> dict[str, float]:
    numbers = metrics.numbers()
    print(
        f"{numbers['seconds']:.2f} s of sound in chunks of {1e3 * chunk:.1f} ms: latency p50 "
        f"{numbers['latency_p50_ms']:.2f} ms, p99 {numbers['latency_p99_ms']:.2f} ms (beside "
        f"{1e3 * latency:.1f} ms of look-ahead), {numbers['real_time_factor']:.2f} x real time, "
        f"{numbers['underruns']:.0f} underruns"
    )
    return numbers
