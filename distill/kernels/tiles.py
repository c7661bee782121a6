"""Products of some rows with a small matrix, in tiles that stay in vector registers.

BLAS prepares copies of both sides, which pays for large products. Those of a gated layer have 32 to
192 inputs, and a sampler's 16 rows: here a tile of 6 rows by 2 vectors is added up in registers,
and what it reads lies in cache as it is. Float32 alone; everything else goes to BLAS. Importing
this file imports numba.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic, overload

from distill.kernels.blas import multiply
from distill.kernels.jit import jit

# Registers of AVX-512 hold 16 numbers. Its 32 of them would hold tiles of 12 rows, but LLVM then
# keeps sums in memory: half as fast as 6 rows (AMD Zen 4).
WIDTH = 16 if binding.get_host_cpu_features().get("avx512f", False) else 8
ROWS = 6
_INT, _FLOAT = ir.IntType(64), ir.FloatType()


def _tile(rows: int, vectors: int) -> Callable[..., None]:
    """Return a compiled function of rows by vectors: `tile(a, lda, b, ldb, c, ldc, k, add)`.

    It writes `a @ b` into c, or adds it, `(rows, k) @ (k, vectors * WIDTH)`: addresses of first
    entries, and distances of rows in entries.
    """
    vector = ir.VectorType(_FLOAT, WIDTH)
    each = [(r, v) for r in range(rows) for v in range(vectors)]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, lda, b, ldb, c, ldc, k, add = args
        a, b, c = (builder.inttoptr(p, _FLOAT.as_pointer()) for p in (a, b, c))
        module = builder.module
        name = f"llvm.fmuladd.v{WIDTH}f32"
        kind = ir.FunctionType(vector, [vector] * 3)
        fused = module.globals.get(name) or ir.Function(module, kind, name)

        def place(pointer: Any, row: Any, stride: Any, column: Any) -> Any:
            return builder.gep(pointer, [builder.add(builder.mul(row, stride), column)])

        def vector_at(pointer: Any) -> Any:
            return builder.bitcast(pointer, vector.as_pointer())

        def number(value: int) -> Any:
            return ir.Constant(_INT, value)

        to = {(r, v): vector_at(place(c, number(r), ldc, number(v * WIDTH))) for r, v in each}
        zero = ir.Constant(vector, [0.0] * WIDTH)
        start = {key: builder.select(add, builder.load(to[key], align=4), zero) for key in each}
        before = builder.block
        loop, done = builder.append_basic_block("inputs"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        i = builder.phi(_INT)
        i.add_incoming(number(0), before)
        sums = {}
        for key in each:
            sums[key] = builder.phi(vector)
            sums[key].add_incoming(start[key], before)
        seen = [
            builder.load(vector_at(place(b, i, ldb, number(v * WIDTH))), align=4)
            for v in range(vectors)
        ]
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
        undefined = ir.Constant(vector, ir.Undefined)
        after = {}
        for r in range(rows):
            one = builder.load(place(a, number(r), lda, i), align=4)
            one = builder.insert_element(undefined, one, ir.Constant(ir.IntType(32), 0))
            all_ = builder.shuffle_vector(one, undefined, lanes)
            for v in range(vectors):
                after[r, v] = builder.call(fused, [all_, seen[v], sums[r, v]])
        following = builder.add(i, number(1))
        i.add_incoming(following, loop)
        for key in each:
            sums[key].add_incoming(after[key], loop)
        builder.cbranch(builder.icmp_signed("<", following, k), loop, done)
        builder.position_at_end(done)
        for key in each:
            builder.store(after[key], to[key], align=4)
        return context.get_dummy_value()

    @intrinsic
    def tile(typing: Any, a: Any, lda: Any, b: Any, ldb: Any, c: Any, ldc: Any, k: Any, add: Any):  # type: ignore[no-untyped-def] # noqa: ANN202
        address, size = types.uintp, types.intp
        given = (address, size, address, size, address, size, size, types.boolean)
        return types.void(*given), codegen

    return tile


_FULL_2, _FULL_1 = _tile(ROWS, 2), _tile(ROWS, 1)
_FOUR_2, _FOUR_1 = _tile(4, 2), _tile(4, 1)
_ONE_8, _ONE_2, _ONE_1 = _tile(1, 8), _tile(1, 2), _tile(1, 1)


@jit
def strip(
    a: int,
    lda: int,
    b: int,
    ldb: int,
    c: int,
    ldc: int,
    rows: int,
    inputs: int,
    add: bool,
    two: bool = True,
) -> None:
    """Compute two vectors of columns, or one, for all rows.

    Arguments are addresses, and distances of rows in entries.
    """
    r = 0
    while r < rows:
        x, y, left = a + 4 * r * lda, c + 4 * r * ldc, rows - r
        full = left >= ROWS and not 8 <= left <= 9  # 4 + 4, no single rows
        if full and two:
            _FULL_2(x, lda, b, ldb, y, ldc, inputs, add)
        elif full:
            _FULL_1(x, lda, b, ldb, y, ldc, inputs, add)
        elif left >= 4 and two:
            _FOUR_2(x, lda, b, ldb, y, ldc, inputs, add)
        elif left >= 4:
            _FOUR_1(x, lda, b, ldb, y, ldc, inputs, add)
        elif two:
            _ONE_2(x, lda, b, ldb, y, ldc, inputs, add)
        else:
            _ONE_1(x, lda, b, ldb, y, ldc, inputs, add)
        r += ROWS if full else (4 if left >= 4 else 1)


@jit
def _in_tiles(a: np.ndarray, b: np.ndarray, c: np.ndarray, add: bool) -> None:
    rows, inputs, columns = a.shape[0], a.shape[1], b.shape[1]
    lda, ldb, ldc = a.strides[0] // 4, b.strides[0] // 4, c.strides[0] // 4
    pa, pb, pc = a.ctypes.data, b.ctypes.data, c.ctypes.data
    for j in range(0, columns, 2 * WIDTH):
        own, to, two = pb + 4 * j, pc + 4 * j, columns - j >= 2 * WIDTH
        strip(pa, lda, own, ldb, to, ldc, rows, inputs, add, two)


@jit
def _in_rows(a: np.ndarray, b: np.ndarray, c: np.ndarray, add: bool) -> None:
    """Compute few rows, each in wide tiles: every number of b is read once a row, and in order."""
    inputs, columns, ldb = a.shape[1], b.shape[1], b.strides[0] // 4
    pb = b.ctypes.data
    for r in range(a.shape[0]):
        x, y, j = a[r].ctypes.data, c[r].ctypes.data, 0
        while columns - j >= 8 * WIDTH:
            _ONE_8(x, 0, pb + 4 * j, ldb, y + 4 * j, 0, inputs, add)
            j += 8 * WIDTH
        while columns - j >= 2 * WIDTH:
            _ONE_2(x, 0, pb + 4 * j, ldb, y + 4 * j, 0, inputs, add)
            j += 2 * WIDTH
        if j < columns:
            _ONE_1(x, 0, pb + 4 * j, ldb, y + 4 * j, 0, inputs, add)


@jit
def add_wide_panels(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """Add `a @ b` to c for few rows, b in panels of 8 vectors, `(n / 8 WIDTH, k, 8 WIDTH)`.

    Weights that lie in an outer cache come fastest in one run.
    """
    inputs, each = a.shape[1], 8 * WIDTH
    pb = b.ctypes.data
    for r in range(a.shape[0]):
        x, y, own = a[r].ctypes.data, c[r].ctypes.data, pb
        for _ in range(b.shape[0]):
            _ONE_8(x, 0, own, each, y, 0, inputs, True)
            y += 4 * each
            own += 4 * each * inputs


def times(a: np.ndarray, b: np.ndarray, c: np.ndarray, add: bool) -> None:
    """Write `a @ b` into c, or add it; in compiled code alone.

    Arguments:
        a: `(m, k)`, rows contiguous.
        b: `(k, n)`, rows contiguous.
        c: `(m, n)`, rows contiguous.
        add: Whether to add.
    """
    raise NotImplementedError("times runs in compiled code alone.")


@overload(times)
def _times(a, b, c, add):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    if c.dtype != types.float32:
        return lambda a, b, c, add: multiply(a, False, b, False, c, add)

    def times(a, b, c, add):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        if not a.shape[1]:
            if not add:
                c[:] = 0
        elif b.shape[1] % WIDTH:
            multiply(a, False, b, False, c, add)
        elif a.shape[0] < 4:
            _in_rows(a, b, c, add)
        else:
            _in_tiles(a, b, c, add)

    return times
