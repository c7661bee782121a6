"""Honest timing: warm-up, repeated runs, medians, a GPU that is waited for."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Timing:
    """Seconds of repeated runs.

    Arguments:
        median: The number to quote.
        minimum: Fastest run.
        maximum: Slowest run.
        repeats: Runs that counted; 0 where the time was computed, not measured.
    """

    median: float
    minimum: float
    maximum: float
    repeats: int

    def rate(self, count: int = 1) -> float:
        """Return how many per second, if a run makes `count`."""
        return count / self.median


def measure(
    fn: Callable[[], object],
    repeats: int = 5,
    warmup: int = 1,
    seconds: float | None = None,
    device: torch.device | str = "cpu",
) -> Timing:
    """Time a function: median, minimum and maximum of repeated runs after a warm-up.

    Arguments:
        fn: What to time; its result is thrown away.
        repeats: Most runs that count.
        warmup: Runs before them that don't.
        seconds: Start no further run after so long, warm-up included; one run always counts.
        device: A GPU is waited for before and after each run.

    Example:
        >>> measure(lambda: None, repeats=3).repeats
        3
    """
    if repeats < 1:
        raise ValueError(f"measure: wanted repeats >= 1, got {repeats}.")
    start = time.perf_counter()
    last = 0.0

    def affordable() -> bool:
        return seconds is None or time.perf_counter() - start + last <= seconds

    for _ in range(warmup):
        if affordable():
            last = _once(fn, device)
    times = [_once(fn, device)]
    last = times[0]
    while len(times) < repeats and affordable():
        times.append(_once(fn, device))
    return Timing(statistics.median(times), min(times), max(times), len(times))


def _once(fn: Callable[[], object], device: torch.device | str) -> float:
    _wait(device)
    start = time.perf_counter()
    fn()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device | str) -> None:
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


def environment(device: torch.device | str = "cpu") -> dict[str, str]:
    """Say what was measured on: processor, cores, threads, versions."""
    facts = {
        "CPU": _cpu_name(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "system": platform.system(),
    }
    if torch.device(device).type == "cuda":
        facts["GPU"] = torch.cuda.get_device_name(device)
    return facts


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
