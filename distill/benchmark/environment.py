"""What was measured on, as every record and every table states it."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import torch

IDENTITY = ("CPU", "GPU", "threads", "dtype", "device")
"""Facts that must be the same where two speeds are to be compared."""


def environment(
    device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> dict[str, str]:
    """Say what is measured on: processor, threads, device, dtype, versions.

    Arguments:
        device: Where the models run.
        dtype: Their precision.

    Example:
        >>> facts = environment(dtype=torch.float64)
        >>> facts["device"], facts["dtype"]
        ('cpu', 'float64')
    """
    facts = {
        "CPU": _cpu_name(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "dtype": str(dtype).removeprefix("torch."),
        "device": torch.device(device).type,
        "torch": torch.__version__,
        "Python": platform.python_version(),
        "system": platform.system(),
    }
    if torch.device(device).type == "cuda":
        facts["GPU"] = torch.cuda.get_device_name(device)
    return facts


def in_one_line(facts: Mapping[str, str]) -> str:
    """Return the facts that a speed is never quoted without.

    Example:
        >>> in_one_line({"CPU": "a CPU", "threads": "2", "dtype": "float32", "device": "cpu"})
        'a CPU, threads 2, float32, device cpu'
    """
    parts = [facts.get("CPU", ""), f"threads {facts.get('threads', '?')}", facts.get("dtype", "")]
    parts += [f"device {facts.get('GPU', facts.get('device', '?'))}"]
    return ", ".join(part for part in parts if part)


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
