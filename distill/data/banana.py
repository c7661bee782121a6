"""A bent normal density."""

from __future__ import annotations

import math

import numpy as np

from distill.checks import check_seed
from distill.data.array import ArrayData
from distill.data.moons import check_toy


class Banana(ArrayData):
    r"""A normal bent along a parabola: $x_1 \sim N(0, 1)$, $x_2 = b\,(x_1^2 - 1) + s\,\epsilon$.

    One affine autoregressive layer represents it exactly, which makes it a check of anything.

    Arguments:
        count: Number of points.
        bend: b.
        noise: s, data units.
        seed: Of points and split.
        held_out: Share of the points to hold out.

    Errors:
        ValueError: Fewer than 20 points, or noise that is not positive.

    Source: the shape of Haario et al., Adaptive Metropolis, 1999.

    Example:
        >>> round(Banana(count=100, noise=1.0).entropy, 4)
        2.8379
    """

    def __init__(
        self,
        count: int = 20_000,
        bend: float = 1.0,
        noise: float = 0.25,
        seed: int = 0,
        held_out: float = 0.1,
    ) -> None:
        check_toy("Banana", count, noise)
        check_seed(seed, "data.seed")
        generator = np.random.default_rng([2, seed])
        first, second = generator.normal(size=(2, count))
        points = np.stack([first, bend * (first**2 - 1) + noise * second], 1)
        super().__init__(points, seed=seed, held_out=held_out)
        # Bending keeps areas: the entropy is that of two independent normals.
        self.entropy = math.log(2 * math.pi * math.e * noise)
