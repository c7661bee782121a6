"""Two interleaved half circles."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from distill.checks import check_seed
from distill.data.array import ArrayData
from distill.data.base import Modes, tensor_of


class Moons(ArrayData):
    r"""Two moons: angles spaced evenly over two half circles, plus isotropic normal noise.

    $$(\cos\theta, \sin\theta),\quad (1 - \cos\theta, \tfrac12 - \sin\theta),\qquad
    \theta \in [0, \pi]$$

    The geometry is that of scikit-learn's `make_moons`. Modes: the arc that is nearest.

    Arguments:
        count: Number of points.
        noise: Standard deviation of the noise, data units.
        seed: Of points and split.
        held_out: Share of the points to hold out.

    Errors:
        ValueError: Fewer than 20 points, or noise that is not positive.

    Example:
        >>> data = Moons(count=1000)
        >>> data.spec.sites, data.modes.names, round(data.entropy, 2)
        (2, ('upper', 'lower'), 0.29)
    """

    def __init__(
        self, count: int = 20_000, noise: float = 0.05, seed: int = 0, held_out: float = 0.1
    ) -> None:
        check_toy("Moons", count, noise)
        check_seed(seed, "data.seed")
        generator = np.random.default_rng([2, seed])
        points = np.concatenate(moons(count))
        points += noise * generator.normal(size=points.shape)
        super().__init__(points, seed=seed, held_out=held_out)
        self.noise = noise
        self.modes = Modes(("upper", "lower"), torch.tensor([0.5, 0.5]), nearest_moon)

    @cached_property
    def entropy(self) -> float:  # type: ignore[override]
        """Differential entropy in nats, by quadrature over a grid."""
        step, margin = self.noise / 6, 6 * self.noise
        nodes = np.concatenate(moons(2 * math.ceil(math.pi / step)))
        x = np.arange(-1 - margin, 2 + margin, step)
        y = np.arange(-0.5 - margin, 1 + margin, step)
        # exp(-r^2/2) factors over the axes, so that the whole grid is one matrix product.
        kernels = [
            np.exp(-0.5 * ((a[:, None] - n) / self.noise) ** 2)
            for a, n in zip((x, y), nodes.T, strict=True)
        ]
        density = kernels[0] @ kernels[1].T / (len(nodes) * 2 * math.pi * self.noise**2)
        density = density[density > 0]
        return float(-(density * np.log(density)).sum() * step**2)


def moons(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the noise-free points of the upper and of the lower moon."""
    upper = np.linspace(0, np.pi, count // 2)
    lower = np.linspace(0, np.pi, count - count // 2)
    return (
        np.stack([np.cos(upper), np.sin(upper)], 1),
        np.stack([1 - np.cos(lower), 0.5 - np.sin(lower)], 1),
    )


def nearest_moon(x: Tensor) -> Tensor:
    """Return 0 for points `(B, 2)` nearest to the upper arc, 1 for the lower."""
    x = tensor_of(x)
    upper = _distance_to_arc(x)
    # The lower arc is the upper one turned by half a turn.
    lower = _distance_to_arc(torch.tensor([1.0, 0.5], dtype=x.dtype) - x)
    return (lower < upper).long()


def _distance_to_arc(x: Tensor) -> Tensor:
    ends = torch.tensor([[-1.0, 0.0], [1.0, 0.0]], dtype=x.dtype)
    to_ends = torch.cdist(x, ends).min(1).values
    return torch.where(x[:, 1] >= 0, (x.norm(dim=1) - 1).abs(), to_ends)


def check_toy(name: str, count: int, noise: float) -> None:
    """Raise unless a toy density's size and noise make sense."""
    if count < 20 or not noise > 0:
        raise ValueError(
            f"{name}: wanted count >= 20 and noise > 0, got count={count}, noise={noise}."
        )
