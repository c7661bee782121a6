"""A checkerboard."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from distill.checks import check_seed
from distill.data.array import ArrayData
from distill.data.base import Modes, tensor_of
from distill.data.moons import check_toy


class Checkerboard(ArrayData):
    r"""Uniform on the dark squares of a board that is centered at 0.

    Its density has jumps, which no smooth flow follows exactly. Modes: the squares; a point outside
    of all of them has none.

    Arguments:
        count: Number of points.
        squares: Squares along one side of the board, even.
        width: Of one square, data units.
        seed: Of points and split.
        held_out: Share of the points to hold out.

    Errors:
        ValueError: Fewer than 20 points, an odd number of squares, or a width that is not positive.

    Example:
        >>> data = Checkerboard(count=1000)
        >>> len(data.modes.names), round(data.entropy, 4)
        (8, 2.0794)
    """

    def __init__(
        self,
        count: int = 20_000,
        squares: int = 4,
        width: float = 1.0,
        seed: int = 0,
        held_out: float = 0.1,
    ) -> None:
        check_toy("Checkerboard", count, noise=1.0)
        if squares < 2 or squares % 2 or not width > 0:
            raise ValueError(
                "Checkerboard: wanted an even number of squares and a width > 0, got "
                f"squares={squares}, width={width}."
            )
        self.squares, self.width = squares, width
        dark = [(i, j) for i in range(squares) for j in range(squares) if (i + j) % 2 == 0]
        check_seed(seed, "data.seed")
        generator = np.random.default_rng([2, seed])
        corner = np.array(dark)[generator.integers(len(dark), size=count)]
        points = (corner + generator.random((count, 2)) - squares / 2) * width
        super().__init__(points, seed=seed, held_out=held_out)
        names = tuple(f"{i},{j}" for i, j in dark)
        self.modes = Modes(names, torch.full((len(dark),), 1 / len(dark)), self._square)
        self.entropy = math.log(len(dark) * width**2)

    def _square(self, x: Tensor) -> Tensor:
        cell = torch.floor(tensor_of(x) / self.width + self.squares / 2).long()
        i, j = cell.unbind(1)
        inside = ((cell >= 0) & (cell < self.squares)).all(1) & ((i + j) % 2 == 0)
        # Dark squares alternate, so every second cell in reading order is one, in every row.
        return torch.where(inside, i * (self.squares // 2) + j // 2, -1)
