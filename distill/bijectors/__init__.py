"""Invertible maps of sequences, noise to data."""

from distill.bijectors.autoregressive import Autoregressive
from distill.bijectors.base import Bijector, State
from distill.bijectors.batch_norm import BatchNorm
from distill.bijectors.compose import Chain, Inverse
from distill.bijectors.coupling import Coupling
from distill.bijectors.elementwise import Affine, Shift, Transform
from distill.bijectors.fixed_point import Jacobi, Solution
from distill.bijectors.linear_prediction import LinearPrediction
from distill.bijectors.permute import Flip, Permute
from distill.bijectors.spline import RationalQuadraticSpline
from distill.bijectors.standardize import ActNorm, Standardize

__all__ = [
    "ActNorm",
    "Affine",
    "Autoregressive",
    "BatchNorm",
    "Bijector",
    "Chain",
    "Coupling",
    "Flip",
    "Inverse",
    "Jacobi",
    "LinearPrediction",
    "Permute",
    "RationalQuadraticSpline",
    "Shift",
    "Solution",
    "Standardize",
    "State",
    "Transform",
]
