"""Conditioners and encoders."""

from distill.networks.conditioner import Conditioner
from distill.networks.envelope import Envelope
from distill.networks.frame_encoder import FrameEncoder
from distill.networks.fronts import LogMelFront, StridedFront
from distill.networks.harmonic_encoder import HarmonicEncoder
from distill.networks.made import MADE
from distill.networks.masked_linear import MaskedLinear
from distill.networks.mlp import MLP
from distill.networks.vector_encoder import VectorEncoder
from distill.networks.wavenet import WaveNet

__all__ = [
    "MADE",
    "MLP",
    "Conditioner",
    "Envelope",
    "FrameEncoder",
    "HarmonicEncoder",
    "LogMelFront",
    "MaskedLinear",
    "StridedFront",
    "VectorEncoder",
    "WaveNet",
]
