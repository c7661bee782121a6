"""Distill slow autoregressive densities into fast parallel samplers."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from distill._version import __version__

# Some builds of ONNX Runtime report their use to their maker, and read this once, when imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from distill.bijectors import Autoregressive, Chain, Inverse, Jacobi
    from distill.contract import Batch, DataSpec, Draw
    from distill.data.convert import as_data
    from distill.export.vocoder import load_voice
    from distill.models import (
        Flow,
        coupling_flow,
        iaf,
        maf,
        nice,
        register,
        wavenet,
        wavenet_iaf,
        whitening,
    )
    from distill.models.checkpoint import load, save
    from distill.models.distribution import FlowDistribution
    from distill.models.foreign import ForeignDensity
    from distill.networks import MADE
    from distill.training.fit import distill, fit

__all__ = [
    "Autoregressive",
    "Batch",
    "Chain",
    "DataSpec",
    "Draw",
    "Flow",
    "FlowDistribution",
    "ForeignDensity",
    "Inverse",
    "Jacobi",
    "MADE",
    "__version__",
    "as_data",
    "coupling_flow",
    "distill",
    "fit",
    "iaf",
    "load",
    "load_voice",
    "maf",
    "nice",
    "register",
    "save",
    "wavenet",
    "wavenet_iaf",
    "whitening",
]

_HOMES = {
    "distill.bijectors": ("Autoregressive", "Chain", "Inverse", "Jacobi"),
    "distill.contract": ("Batch", "DataSpec", "Draw"),
    "distill.data.convert": ("as_data",),
    "distill.export.vocoder": ("load_voice",),
    "distill.models": (
        *("Flow", "coupling_flow", "iaf", "maf", "nice", "register"),
        *("wavenet", "wavenet_iaf", "whitening"),
    ),
    "distill.models.distribution": ("FlowDistribution",),
    "distill.models.foreign": ("ForeignDensity",),
    "distill.networks": ("MADE",),
    "distill.models.checkpoint": ("load", "save"),
    "distill.training.fit": ("distill", "fit"),
}
_PACKAGES = (
    *("bijectors", "contract", "data", "distributions", "evaluation", "export", "models"),
    *("networks", "objectives", "training"),
)


def __getattr__(name: str) -> Any:
    # Names load on first use: `distill --help` and tab completion must not wait for PyTorch.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    if name in _PACKAGES:
        return import_module(f"distill.{name}")
    raise AttributeError(f"module 'distill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
