"""What a sampler covers: shares of known modes, recall and precision by nearest neighbors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distill.data import Modes
from distill.data.base import tensor_of

_TREE_SITES = 16
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Coverage:
    """Shares of the modes among samples.

    Arguments:
        names: Of the modes.
        shares: Of the samples, one a mode; they sum to 1 less the share outside of all modes.
        expected: Of the density.
        outside: Share of the samples that belong to no mode.
    """

    names: tuple[str, ...]
    shares: tuple[float, ...]
    expected: tuple[float, ...]
    outside: float

    @property
    def largest_deviation(self) -> float:
        """Largest difference between a share and the expected one."""
        return max(abs(a - b) for a, b in zip(self.shares, self.expected, strict=True))


def coverage(x: Tensor, modes: Modes) -> Coverage:
    """Count samples `(B, T)` by mode; those that are not finite belong to none.

    Example:
        >>> modes = Modes(("low", "high"), torch.tensor([0.5, 0.5]), lambda x: (x[:, 0] > 0).long())
        >>> coverage(torch.tensor([[-1.0], [-2.0], [-3.0], [1.0]]), modes).largest_deviation
        0.25
    """
    mode = torch.full((len(x),), -1)
    finite = x.isfinite().all(1).cpu()
    mode[finite] = modes.assign(x[finite.to(x.device)]).cpu()
    counts = torch.bincount(mode[mode >= 0], minlength=len(modes.names))
    shares = tuple((counts / len(mode)).tolist())
    return Coverage(
        modes.names, shares, tuple(modes.shares.tolist()), float((mode < 0).double().mean())
    )


@dataclass(frozen=True)
class Neighborhood:
    """How near is near: a radius taken from the training values themselves.

    Arguments:
        train: Training values `(N, T)`, in units of `scale`.
        scale: Divides every value before distances are measured.
        radius: 99th percentile of the distance from a training value to the nearest other one.
    """

    train: np.ndarray
    scale: np.ndarray
    radius: float

    @classmethod
    def of(cls, train: Tensor, scale: Tensor | None = None, quantile: float = 0.99) -> Neighborhood:
        """Measure the radius of training values.

        Arguments:
            train: `(N, T)`.
            scale: One number a site, for tables of mixed units; data units without.
            quantile: Which of the distances is the radius.

        Errors:
            ValueError: Fewer than two values.
        """
        if len(train) < 2:
            raise ValueError(f"Neighborhood: wanted at least 2 values, got {len(train)}.")
        divisor = np.ones(1) if scale is None else tensor_of(scale).numpy()
        values = tensor_of(train).numpy() / divisor
        return cls(values, divisor, float(np.quantile(_distances(values, values, 1), quantile)))

    def recall(self, samples: Tensor, held_out: Tensor) -> float:
        """Return the share of held-out values with a sample within the radius.

        As many samples as training values make it about the quantile for a perfect sampler; more
        raise it.
        """
        return self._share(self._scaled(held_out), self._scaled(samples))

    def precision(self, samples: Tensor) -> float:
        """Return the share of samples with a training value within the radius."""
        return self._share(self._scaled(samples), self.train)

    def _scaled(self, x: Tensor) -> np.ndarray:
        return tensor_of(x).numpy() / self.scale

    def _share(self, values: np.ndarray, others: np.ndarray) -> float:
        values_ok = np.isfinite(values).all(1)
        others = others[np.isfinite(others).all(1)]
        if not len(others):
            return 0.0
        near = _distances(values[values_ok], others, 0) <= self.radius * (1 + 1e-9)
        return float(near.sum() / len(values))


def _distances(values: np.ndarray, others: np.ndarray, skip: int) -> np.ndarray:
    """Return the distance from each value to the nearest other, after `skip` nearer ones."""
    if values.shape[1] <= _TREE_SITES:
        # Here, so that importing the package stays quick.
        from scipy.spatial import cKDTree

        distance = cKDTree(others).query(values, k=[skip + 1])[0]
        return np.asarray(distance)[:, 0]
    all_others = torch.from_numpy(others)
    parts = [
        torch.cdist(chunk, all_others).kthvalue(skip + 1, dim=1).values
        for chunk in torch.from_numpy(values).split(_ROWS_AT_ONCE)
    ]
    return torch.cat(parts).numpy()
