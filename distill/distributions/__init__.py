"""Distributions per site: bases and output heads."""

from distill.distributions.base import Base, Logistic, Normal
from distill.distributions.head import Head, MixtureOfGaussians

__all__ = ["Base", "Head", "Logistic", "MixtureOfGaussians", "Normal"]
