"""Distributions per site: bases and output heads."""

from distill.distributions.base import Base, Logistic, Normal
from distill.distributions.conditional import Conditional, Units
from distill.distributions.head import Head, SamplingSpec
from distill.distributions.location_scale import GaussianHead, LocationScaleHead, LogisticHead
from distill.distributions.mixture import Mixture, MixtureOfGaussians, MixtureOfLogistics
from distill.distributions.mu_law import MuLaw

__all__ = [
    "Base",
    "Conditional",
    "GaussianHead",
    "Head",
    "LocationScaleHead",
    "Logistic",
    "LogisticHead",
    "Mixture",
    "MixtureOfGaussians",
    "MixtureOfLogistics",
    "MuLaw",
    "Normal",
    "SamplingSpec",
    "Units",
]
