"""Noise of a stream: NumPy alone, so that any program can draw the very same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

BASES = ("normal", "logistic")


class Noise:
    r"""Standard noise, one number a site, in order: any split into pieces gives the same numbers.

    A counter-based generator (Philox) seeded by an integer, in float64, then rounded to `dtype`;
    so one seed means one sound in every backend and precision. Without this package:

        np.random.Generator(np.random.Philox(seed)).standard_normal(sites).astype(np.float32)

    and `.logistic(size=sites)` for the logistic base.

    Arguments:
        base: `normal` or `logistic`.
        seed: 0 or larger; `None` for a new one each time.
        dtype: Of the numbers: `float32` or `float64`.

    Attributes:
        seed: The seed, also where none was given.

    Errors:
        ValueError: Another base, or a negative seed.

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011 (Philox).

    Example:
        >>> whole = Noise("normal", seed=7).draw(5)
        >>> pieces = Noise("normal", seed=7)
        >>> bool((np.concatenate([pieces.draw(2), pieces.draw(3)]) == whole).all())
        True
    """

    def __init__(self, base: str, seed: int | None = None, dtype: Any = "float32") -> None:
        if base not in BASES:
            raise ValueError(f"noise: wanted a base among {', '.join(BASES)}; got {base!r}.")
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"noise: wanted an integer seed of 0 or more, or none; got {seed!r}.")
        self.base, self.seed, self.dtype = base, int(seed), np.dtype(dtype)
        self._generator = np.random.Generator(np.random.Philox(self.seed))

    def draw(self, sites: int) -> np.ndarray:
        """Return the next `sites` numbers."""
        if self.base == "normal":
            return self._generator.standard_normal(sites).astype(self.dtype)
        return self._generator.logistic(size=sites).astype(self.dtype)
