"""Models of somebody's own, as another package would have them."""

from __future__ import annotations

import math

from torch import Tensor

import distill
from distill.contract import DataSpec, Features
from distill.models import Density, Flow


def narrow(spec: DataSpec, width: int = 4) -> Flow:
    """A function that calls a builder, and is not registered."""
    return distill.maf(spec, layers=1, hidden=[width])


@distill.register
def registered(spec: DataSpec, width: int = 4) -> Flow:
    """A function that is."""
    return narrow(spec, width)


@distill.register
class Squeezed(Density):
    """A class: another model of data that is scaled down."""

    def __init__(self, spec: DataSpec, factor: float = 1.0) -> None:
        super().__init__()
        self.spec, self.factor = spec, factor
        self.inner = narrow(spec)

    def log_prob(self, x: Tensor, features: Features = None) -> Tensor:
        """Score what the inner model has of it."""
        return self.inner.log_prob(x * self.factor, features) + math.log(self.factor)
