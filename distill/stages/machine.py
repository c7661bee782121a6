"""What a machine has that matters to a run: versions, processor, optional parts, disk."""

from __future__ import annotations

import os
import platform
import shutil
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import torch

from distill.training.precision import has_bfloat16_units

_VERSIONS = ("torch", "hydra-core", "numpy", "onnx", "onnxruntime", "librosa")
PARTS = {
    "serve": (("prometheus_client", "starlette", "uvicorn", "websockets"), "distill serve"),
    "cluster": (("ray", "fastapi"), "distill serve replicas= and data.cluster"),
    "sweep": (("hydra_plugins",), "sweeps by hydra/launcher= and hydra/sweeper="),
    "sound": (("sounddevice",), "distill stream output=device"),
    "audio-metrics": (("pesq", "pystoi"), "PESQ and STOI in distill evaluate"),
    "bench": (("nflows", "vocos", "zuko"), "benchmark.peers and scripts/compare_flows.py"),
}
"""Extras of the package: the modules that they bring, and what wants them."""


def versions() -> dict[str, str]:
    """Return the version of this package, of Python and of what it stands on."""
    found = {"distill": _version("distill"), "Python": platform.python_version()}
    return found | {name: _version(name) for name in _VERSIONS}


def processor() -> dict[str, str]:
    """Return cores, threads, and the vector and bfloat16 units that torch uses.

    Example:
        >>> processor()["threads"].isdecimal()
        True
    """
    fast = has_bfloat16_units()
    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "vector units": capability,
        "AVX-512": "yes" if "AVX512" in capability else "no",
        "bfloat16 units": "yes" if fast else "no: precision=auto trains in float32",
    }


def devices() -> list[str]:
    """Return the GPUs that torch can use."""
    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]


def parts() -> dict[str, str]:
    """Return for each optional part `there`, or how to get it."""
    found = {
        extra: f"missing, wanted by {use}: pip install 'distill[{extra}]'"
        if any(find_spec(module) is None for module in modules)
        else "there"
        for extra, (modules, use) in PARTS.items()
    }
    compilers = [os.environ.get("CXX"), "g++", "clang++"]
    there = next((path for name in compilers if name and (path := shutil.which(name))), None)
    found["C++ compiler"] = there or "missing, wanted by export=aoti: install g++"
    return found


def free_gigabytes(folder: Path) -> float:
    """Return the free space of the disk that a folder is, or would be, on."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
