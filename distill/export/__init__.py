"""Exported samplers: one contract, one file per backend, and the runtime that streams them."""

from distill.export.aoti import AOTI
from distill.export.backend import Backend, accept
from distill.export.exported import Exported
from distill.export.loops import Loops
from distill.export.metadata import Metadata, StateSpec
from distill.export.noise import Noise
from distill.export.onnx import ONNX
from distill.export.onnx_int8 import ONNXInt8
from distill.export.pt2 import PT2
from distill.export.registry import format_of, load
from distill.export.stream import Stream
from distill.export.verify import ExportMismatch, Limit, Verification, verify

__all__ = [
    "AOTI",
    "ONNX",
    "PT2",
    "Backend",
    "ExportMismatch",
    "Exported",
    "Limit",
    "Loops",
    "Metadata",
    "Noise",
    "ONNXInt8",
    "StateSpec",
    "Stream",
    "Verification",
    "accept",
    "format_of",
    "load",
    "verify",
]
