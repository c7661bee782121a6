"""Distill slow autoregressive densities into fast parallel samplers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from distill._version import __version__

if TYPE_CHECKING:
    from distill.bijectors import Autoregressive, Chain, Inverse, Jacobi
    from distill.contract import Batch, DataSpec, Draw
    from distill.models import Flow, iaf, maf
    from distill.networks import MADE
    from distill.training.checkpoint import load

__all__ = [
    "MADE",
    "Autoregressive",
    "Batch",
    "Chain",
    "DataSpec",
    "Draw",
    "Flow",
    "Inverse",
    "Jacobi",
    "__version__",
    "iaf",
    "load",
    "maf",
]

_HOMES = {
    "distill.bijectors": ("Autoregressive", "Chain", "Inverse", "Jacobi"),
    "distill.contract": ("Batch", "DataSpec", "Draw"),
    "distill.models": ("Flow", "iaf", "maf"),
    "distill.networks": ("MADE",),
    "distill.training.checkpoint": ("load",),
}


def __getattr__(name: str) -> Any:
    # Names load on first use: `distill --help` and tab completion must not wait for PyTorch.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'distill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
