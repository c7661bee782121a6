"""Exported samplers: one contract, one file per backend."""

from distill.export.backend import Backend, accept
from distill.export.exported import Exported
from distill.export.metadata import Metadata
from distill.export.onnx import ONNX
from distill.export.pt2 import PT2
from distill.export.registry import load
from distill.export.verify import ExportMismatch, Verification, verify

__all__ = [
    "ONNX",
    "PT2",
    "Backend",
    "ExportMismatch",
    "Exported",
    "Metadata",
    "Verification",
    "accept",
    "load",
    "verify",
]
