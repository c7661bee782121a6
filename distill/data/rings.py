"""Concentric rings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from distill.checks import check_seed
from distill.data.array import ArrayData
from distill.data.base import Modes, tensor_of
from distill.data.moons import check_toy


class Rings(ArrayData):
    r"""Points on concentric circles, as many on each, plus isotropic normal noise.

    Modes: the circle that is nearest.

    Arguments:
        count: Number of points.
        radii: Of the circles, rising.
        noise: Standard deviation of the noise, data units.
        seed: Of points and split.
        held_out: Share of the points to hold out.

    Errors:
        ValueError: Fewer than 20 points, noise that is not positive, or radii that do not rise.

    Example:
        >>> Rings(count=1000, radii=[1.0, 2.0]).modes.names
        ('r=1', 'r=2')
    """

    def __init__(
        self,
        count: int = 20_000,
        radii: Sequence[float] = (0.5, 1.0, 1.5, 2.0),
        noise: float = 0.05,
        seed: int = 0,
        held_out: float = 0.1,
    ) -> None:
        check_toy("Rings", count, noise)
        self.radii, self.noise = [float(r) for r in radii], noise
        if not self.radii or self.radii[0] <= 0 or sorted(set(self.radii)) != self.radii:
            raise ValueError(f"Rings: wanted positive radii that rise, got {list(radii)}.")
        check_seed(seed, "data.seed")
        generator = np.random.default_rng([2, seed])
        radius = np.array(self.radii)[np.arange(count) % len(self.radii), None]
        angle = generator.uniform(0, 2 * np.pi, count)
        points = radius * np.stack([np.cos(angle), np.sin(angle)], 1)
        points += noise * generator.normal(size=points.shape)
        super().__init__(points, seed=seed, held_out=held_out)
        names = tuple(f"r={r:g}" for r in self.radii)
        self.modes = Modes(names, torch.full((len(names),), 1 / len(names)), self._nearest)

    @cached_property
    def entropy(self) -> float:  # type: ignore[override]
        """Differential entropy in nats, by quadrature over the radius."""
        from scipy.special import i0e

        step = self.noise / 50
        rho = np.arange(step / 2, self.radii[-1] + 10 * self.noise, step)
        variance = self.noise**2
        # i0e(z) = exp(-z) I_0(z): the angle of the noisy point is integrated out in closed form.
        rings = [
            np.exp(-((rho - r) ** 2) / (2 * variance)) * i0e(rho * r / variance) for r in self.radii
        ]
        density = np.mean(rings, 0) / (2 * math.pi * variance)
        seen = density > 0
        mass = density[seen] * 2 * math.pi * rho[seen] * step
        return float(-(mass * np.log(density[seen])).sum())

    def _nearest(self, x: Tensor) -> Tensor:
        radii = torch.tensor(self.radii, dtype=torch.float64)
        return (tensor_of(x).norm(dim=1, keepdim=True) - radii).abs().argmin(1)
