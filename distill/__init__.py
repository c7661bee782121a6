"""Distill slow autoregressive densities into fast parallel samplers."""

from distill._version import __version__
from distill.bijectors import Autoregressive, Chain, Inverse
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
    "__version__",
    "iaf",
    "load",
    "maf",
]
