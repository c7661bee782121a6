"""Matrix products for compiled loops, by the BLAS that torch itself calls.

A loop that goes through torch for each product pays for views and dispatch, which for products of
some hundred rows is as much as for the gates. Importing this file imports numba.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from llvmlite import binding
from numba import types
from numba.extending import get_cython_function_address, overload

_SYMBOLS = {types.float32: "sgemm_", types.float64: "dgemm_"}
_ARGUMENTS = [types.uintp] * 13  # Fortran: everything by address


@cache
def _library() -> ctypes.CDLL | None:
    """Return torch's library, if it gives its products away."""
    for file in sorted((Path(torch.__file__).parent / "lib").glob("*torch_cpu*")):
        try:
            library = ctypes.CDLL(str(file))
        except OSError:
            continue
        if all(hasattr(library, name) for name in _SYMBOLS.values()):
            return library
    return None


@cache
def load_blas() -> None:
    """Let compiled loops call `multiply` from now on; by scipy's BLAS where torch keeps its own."""
    library = _library()
    for name in _SYMBOLS.values():
        address: int | None
        if library is None:
            address = get_cython_function_address("scipy.linalg.cython_blas", name[:-1])
        else:
            address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        binding.add_symbol(f"distill_{name}", address)


def alone() -> None:
    """Keep products of the calling thread to itself; several threads then share the work."""
    _use_threads(1)


@contextmanager
def alone_here() -> Iterator[None]:
    """Do so for a while: waking other threads takes longer than a small product."""
    before = _use_threads(1)
    try:
        yield
    finally:
        _use_threads(before)


def _use_threads(count: int) -> int:
    """Set the threads of this thread's products, 0 for as many as all have; return what was set."""
    library = _library()
    if not hasattr(library, "MKL_Set_Num_Threads_Local"):
        return 0
    return library.MKL_Set_Num_Threads_Local(count)  # type: ignore[union-attr]


def multiply(
    a: np.ndarray, turn_a: bool, b: np.ndarray, turn_b: bool, c: np.ndarray, add: bool
) -> None:
    """Write `a @ b` into c, or add it; in compiled code alone, after `load_blas`.

    Arguments:
        a: `(m, k)`, rows contiguous.
        turn_a: Whether `a` is given as `(k, m)`.
        b: `(k, n)`, rows contiguous.
        turn_b: Whether `b` is given as `(n, k)`.
        c: `(m, n)`, rows contiguous.
        add: Whether to add.
    """
    raise NotImplementedError("multiply runs in compiled code alone.")


@overload(multiply)
def _multiply(a, turn_a, b, turn_b, c, add):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    name = f"distill_{_SYMBOLS[c.dtype]}"
    call: Any = types.ExternalFunction(name, types.void(*_ARGUMENTS))
    one = np.ones(1, "f4" if c.dtype == types.float32 else "f8").dtype.type
    item = c.dtype.bitwidth // 8

    def multiply(a, turn_a, b, turn_b, c, add):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        # Columns first: the transpose of c is that of b times that of a.
        turns, sizes, scales = np.empty(2, np.uint8), np.empty(6, np.int32), np.empty(2, c.dtype)
        turns[0], turns[1] = 84 if turn_b else 78, 84 if turn_a else 78  # T or N
        sizes[0], sizes[1] = c.shape[1], c.shape[0]
        sizes[2] = a.shape[0] if turn_a else a.shape[1]
        # The only row of an array may have any stride, and BLAS refuses small ones.
        sizes[3] = max(b.strides[0] // item, b.shape[1])
        sizes[4] = max(a.strides[0] // item, a.shape[1])
        sizes[5] = max(c.strides[0] // item, c.shape[1])
        scales[0], scales[1] = one(1), one(1) if add else one(0)
        t, s, f = turns.ctypes.data, sizes.ctypes.data, scales.ctypes.data
        call(
            t, t + 1, s, s + 4, s + 8, f, b.ctypes.data, s + 12,
            a.ctypes.data, s + 16, f + item, c.ctypes.data, s + 20,
        )  # fmt: skip

    return multiply


load_blas()
