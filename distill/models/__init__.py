"""Models: flows and explicit autoregressive densities."""

from distill.models.autoregressive import AutoregressiveDensity
from distill.models.build import coupling_flow, iaf, maf, nice
from distill.models.build_wavenet import wavenet, wavenet_iaf
from distill.models.density import Density, freeze
from distill.models.flow import Flow
from distill.models.outer import standardization, whitening
from distill.models.recipe import builder, register

__all__ = [
    "AutoregressiveDensity",
    "Density",
    "Flow",
    "builder",
    "coupling_flow",
    "freeze",
    "iaf",
    "maf",
    "nice",
    "register",
    "standardization",
    "wavenet",
    "wavenet_iaf",
    "whitening",
]
