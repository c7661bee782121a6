"""How kernels are compiled. Importing this file imports numba."""

from __future__ import annotations

from typing import Any

from numba import njit

from distill.kernels.numba_cache import guard_cache

guard_cache()

# Sums may be reordered, so that they vectorize; NaN and infinity keep their meaning.
SUMS = {"reassoc", "contract", "nsz"}


def jit(function: Any, fastmath: bool | set[str] = True) -> Any:
    """Compile a function that releases the GIL, and keep it on disk where that can be written.

    Arguments:
        function: Its file's date and size are the cache's key: who changes a callee that lies in
            another file has to touch this one too.
        fastmath: What floating point may do; see numba.
    """
    options: dict[str, Any] = {"fastmath": fastmath, "nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to write to
        return njit(**options)(function)
