"""Modes of a table, by gaps along its first site, for coverage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from distill.data.base import Modes, tensor_of

_SMALLEST_SHARE = 0.01


def modes_between(
    edges: Sequence[float],
    values: Tensor,
    names: Sequence[str] | None = None,
    shift: float = 0.0,
) -> Modes:
    """Return the modes below, between and above rising edges along the first site.

    Arguments:
        edges: In the units of the file.
        values: `(N, T)`, whose shares are the expected ones.
        names: One more than edges; by default they say where a mode lies.
        shift: What was taken off the values.

    Errors:
        ValueError: No edges, edges that do not rise, or another number of names.

    Example:
        >>> modes = modes_between([0.0], torch.tensor([[-1.0], [2.0]]))
        >>> modes.names, modes.shares.tolist()
        (('below_0', 'above_0'), [0.5, 0.5])
    """
    shown = [float(edge) for edge in edges]
    if not shown or any(a >= b for a, b in pairwise(shown)):
        raise ValueError(f"Points: wanted mode_edges that rise, got {shown}.")
    if names is None:
        between = [f"{a:.4g}_to_{b:.4g}" for a, b in pairwise(shown)]
        names = [f"below_{shown[0]:.4g}", *between, f"above_{shown[-1]:.4g}"]
    if len(names) != len(shown) + 1:
        raise ValueError(
            f"Points: wanted {len(shown) + 1} mode_names, one more than mode_edges, got "
            f"{len(names)}."
        )
    boundaries = torch.tensor(shown, dtype=torch.float64) - shift

    def assign(x: Tensor) -> Tensor:
        return torch.bucketize(tensor_of(x)[:, 0].contiguous(), boundaries, right=True)

    counts = torch.bincount(assign(values), minlength=len(names))
    return Modes(tuple(map(str, names)), counts / counts.sum(), assign)


def edges_at_gaps(values: np.ndarray, gap: float) -> list[float]:
    """Find where values `(N,)` leave gaps wider than a share `gap` of their range.

    Every part between two edges holds at least a hundredth of the values; smaller ones (outliers)
    stay with their neighbor.

    Example:
        >>> edges_at_gaps(np.array([0.0, 0.1, 0.2, 0.8, 0.9, 1.0]), gap=0.3)
        [0.5]
    """
    ordered = np.sort(values)
    wide = np.flatnonzero(np.diff(ordered) > gap * (ordered[-1] - ordered[0])) + 1
    smallest = max(1, round(_SMALLEST_SHARE * len(ordered)))
    edges: list[float] = []
    begin = 0
    for index in wide.tolist():
        if index - begin >= smallest and len(ordered) - index >= smallest:
            edges.append(round(float(ordered[index - 1] + ordered[index]) / 2, 6))
            begin = index
    return edges
