"""Stream for an hour of sound, and look whether anything grows, drifts or clicks.

python scripts/long_stream.py RUN/export/student.onnx
python scripts/long_stream.py student.onnx --hours 0.1 --chunk 2

Random frames go in chunk by chunk. Every minute's memory and latency are printed, and the latency
as a multiple of a fresh stream's, their chunks taking turns: machines have moods of minutes, which
this cancels. At the end memory must have stayed within 1 % of what it was after the first minute,
the last tenth's multiple within 10 % of 1, steps across borders of chunks must be like those
within, and the last second must be what one pass over the last three gives: a network of finite
memory has then forgotten that the pass began in the middle. Otherwise the exit code is 1.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path

import numpy as np
import torch

from distill.export import Exported, Noise, load
from distill.export.graph import example_inputs

PAGE = 4096
PAIRS = 100


def memory() -> float:
    """Return the resident set in MB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


def frames_of(exported: Exported, chunk: int) -> tuple[dict, dict]:
    """Return features of ten chunks, and those that hold for the whole stream."""
    _, features = example_inputs(exported.metadata, 1, 0, 10 * chunk, exported.dtype)
    framed = {k: v[0] for k, v in features.items() if k in exported.metadata.frames}
    return framed, {k: v for k, v in features.items() if k not in framed}


def last_second(exported: Exported, framed: dict, fixed: dict, frames: int) -> np.ndarray:
    """Draw the last three seconds of a stream in one pass; return the last one."""
    spec, ahead = exported.metadata.spec, exported.metadata.latency
    second = (spec.sample_rate or 1) // spec.hop
    start = frames - 3 * second - ahead
    noise = Noise(exported.metadata.base, 0, exported.metadata.dtype)
    for a in range(0, start, 4096):
        noise.draw(min(4096, start - a) * spec.hop)
    u = torch.from_numpy(noise.draw((frames - start) * spec.hop))[None]
    rows = torch.arange(start, frames)
    given = {name: value[rows % len(value)][None] for name, value in framed.items()}
    x = exported(u, {**given, **fixed})[0][0]
    return x[(2 * second) * spec.hop : len(x) - ahead * spec.hop].numpy()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--chunk", type=int, default=2, help="frames")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    exported = load(given.file)
    spec = exported.metadata.spec
    rate, sites = spec.sample_rate or 1, given.chunk * spec.hop
    framed, fixed = frames_of(exported, given.chunk)
    parts = [
        {k: v[i * given.chunk : (i + 1) * given.chunk] for k, v in framed.items()} or given.chunk
        for i in range(10)
    ]
    chunks = max(1000, round(given.hours * 3600 * rate / sites))
    seconds = np.zeros(chunks)
    inside, across = np.zeros(2), np.zeros(2)  # squares of steps between samples, and how many
    stream, other = (exported.stream(seed=seed, features=fixed) for seed in (0, 1))
    last = None
    minute, first, most = max(1, round(60 * rate / sites)), 0.0, 0.0
    fresh, multiples = np.zeros(PAIRS), []
    tail, began = [], time.monotonic()
    for i in range(chunks):
        pair = i % minute - (minute - PAIRS)
        if pair >= 0:  # the last chunks of each minute
            if pair == 0:
                other = exported.stream(seed=1, features=fixed)
            start = time.perf_counter()
            other.push(parts[i % 10])
            fresh[pair] = time.perf_counter() - start
        start = time.perf_counter()
        x = stream.push(parts[i % 10])
        seconds[i] = time.perf_counter() - start
        if len(x):
            steps = x.diff().double()
            inside += (float(steps.square().sum()), len(steps))
            if last is not None:
                across += (float((x[0] - last).square()), 1)
            last = x[-1]
        if (chunks - i) * sites <= 2 * rate:
            tail.append(x)
        if (i + 1) % minute == 0 or i + 1 == chunks:
            now = memory()
            first = first or now
            most = max(most, now)
            recent = 1e3 * seconds[max(0, i + 1 - minute) : i + 1]
            line = (
                f"{(i + 1) * sites / rate / 60:6.1f} min  {now:8.2f} MB  p50 "
                f"{np.median(recent):6.2f} ms  p99 {np.percentile(recent, 99):6.2f} ms"
            )
            if pair == PAIRS - 1:  # past the chunks that only fill the look-ahead
                multiples.append(float(np.median(recent[-PAIRS + 10 :] / (1e3 * fresh[10:]))))
                line += f"  {multiples[-1]:5.3f} x a fresh stream's"
            print(line, flush=True)
    took, tenth = time.monotonic() - began, max(1, len(multiples) // 10)
    early, late = (float(np.median(part)) for part in (multiples[:tenth], multiples[-tenth:]))
    grown = most / first - 1
    within, border = (np.sqrt(total / max(1, count)) for total, count in (inside, across))
    late_chunks = 1e3 * np.percentile(seconds, 99)
    wanted = last_second(exported, framed, fixed, chunks * given.chunk)
    error = float(np.abs(torch.cat(tail).numpy()[-len(wanted) :] - wanted).max())
    print(
        f"{chunks * sites / rate / 3600:.2f} hours in chunks of {1e3 * sites / rate:.1f} ms, "
        f"{chunks * sites / rate / took:.2f} x real time, p99 {late_chunks:.2f} ms\n"
        f"memory {first:.2f} to {most:.2f} MB ({100 * grown:+.2f} %)\n"
        f"latency {early:.3f} x a fresh stream's in the first tenth, {late:.3f} x in the last\n"
        f"steps of {within:.4f} within chunks, {border:.4f} across borders "
        f"(root mean square)\nthe last second is off one pass by {error:.1e}"
    )
    held = (
        grown <= 0.01 and abs(late - 1) <= 0.1 and abs(border / within - 1) < 0.1 and error <= 1e-5
    )
    print("held" if held else "did not hold")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
