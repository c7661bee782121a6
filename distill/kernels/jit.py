"""How kernels are compiled. Importing this file imports numba."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

from distill.kernels.numba_cache import guard_cache

guard_cache()

# Sums may be reordered, so that they vectorize; NaN and infinity keep their meaning.
SUMS = {"reassoc", "contract", "nsz"}


def jit(function: Any, fastmath: bool | set[str] = True) -> Any:
    """Compile a function that releases the GIL, and keep it on disk where that can be written.

    Arguments:
        function: What is kept of it holds as long as no kernel of this package changes, since
            callees lie in other files.
        fastmath: What floating point may do; see numba.
    """
    options: dict[str, Any] = {"fastmath": fastmath, "nogil": True, "error_model": "numpy"}
    try:
        made = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to write to
        return njit(**options)(function)
    kept = getattr(getattr(made, "_cache", None), "_cache_file", None)
    if kept is not None:  # numba looks at the function's own file alone
        kept._source_stamp = f"{kept._source_stamp} {_kernels()}"
    return made


@cache
def _kernels() -> str:
    """Return a hash of all kernels' sources."""
    total = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()
