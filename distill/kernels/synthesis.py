"""The synthesis filter of linear prediction on NumPy arrays: compiled where numba is there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np


def synthesize(
    e: np.ndarray,
    coefficients: np.ndarray,
    gain: np.ndarray,
    past: np.ndarray | None = None,
    threads: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Turn a chunk of excitation into signal: $x_t = g\,e_t + \sum_{k=1}^p a_k x_{t-k}$.

    The coefficients of a frame are held for its sites; the past crosses frames and chunks. It
    computes in float64, by a compiled loop, or without numba by `scipy.signal.lfilter`.

    Arguments:
        e: Excitation of whole frames, `(B, T)`.
        coefficients: $a_1, \dots, a_p$ of each frame, `(B, F, p)`.
        gain: g of each frame, `(B, F)`.
        past: The last p sites before the chunk, oldest first, `(B, p)`; zeros by default.
        threads: The batch is shared over so many.

    Returns:
        The signal, `(B, T)` in the type of `e`, and the past of the next chunk, float64.

    Errors:
        ValueError: Arrays that do not fit, or coefficients that are not finite or not stable.

    Source: Itakura and Saito, 1968; Makhoul, Linear prediction: a tutorial review, 1975.

    Example:
        >>> one = np.array([[1.0, 0.0, 0.0, 0.0]])
        >>> x, past = synthesize(one, np.full((1, 2, 1), 0.5), np.ones((1, 2)))
        >>> x.tolist(), past.tolist()
        ([[1.0, 0.5, 0.25, 0.125]], [[0.125]])
    """
    batch, frames, order = coefficients.shape if coefficients.ndim == 3 else (0, 0, 0)
    past = np.zeros((batch, order)) if past is None else past
    fits = e.ndim == 2 and e.shape[0] == batch and frames and e.shape[1] % frames == 0
    if not (fits and order and gain.shape == (batch, frames) and past.shape == (batch, order)):
        raise ValueError(
            "synthesize: wanted e (B, F * hop), coefficients (B, F, p), gain (B, F) and past "
            f"(B, p), got {e.shape}, {coefficients.shape}, {gain.shape} and {past.shape}."
        )
    check_filters("synthesize", coefficients, gain)
    hop = e.shape[1] // frames
    rows = np.empty((batch, order + e.shape[1]))
    rows[:, :order] = past
    rows[:, order:] = (e.reshape(batch, frames, hop) * gain[..., None]).reshape(e.shape)
    if has_kernel():
        run_kernel(rows, coefficients, hop, threads=threads)
    else:
        _by_scipy(rows, coefficients, hop)
    return rows[:, order:].astype(e.dtype), rows[:, -order:].copy()


def has_kernel() -> bool:
    """Whether the compiled loops can run: numba is there."""
    return find_spec("numba") is not None


def run_kernel(
    rows: np.ndarray,
    coefficients: np.ndarray,
    hop: int,
    transposed: bool = False,
    threads: int = 1,
) -> None:
    """Filter rows in place by the compiled loop.

    Arguments:
        rows: `(B, p + F * hop)`, float64: past, then scaled excitation.
        coefficients: `(B, F, p)`.
        hop: Sites per frame.
        transposed: Apply the transpose of the filter, from the last site to the first.
        threads: The batch is shared over so many.
    """
    # Imported here: numba costs half a second, and only listening needs it.
    from distill.kernels.linear_prediction import filter_backward, filter_forward

    run = filter_backward if transposed else filter_forward
    taps = np.ascontiguousarray(coefficients[..., ::-1], np.float64)
    if threads <= 1 or len(rows) == 1:
        for row, own in zip(rows, taps, strict=True):
            run(row, own, hop)
        return
    with ThreadPoolExecutor(min(threads, len(rows))) as pool:
        list(pool.map(run, rows, taps, [hop] * len(rows)))


def check_filters(
    owner: str, coefficients: np.ndarray, gain: np.ndarray, stable: bool = True
) -> None:
    """Raise unless every frame's filter is finite, and stable.

    A filter is stable if all its reflection coefficients, found by stepping the Levinson
    recursion down, lie inside (-1, 1).

    Arguments:
        owner: Who asks, for the message.
        coefficients: `(B, F, p)`.
        gain: `(B, F)`, or its logarithm.
        stable: Ask for stable filters too: whitening needs none.

    Errors:
        ValueError: The first frame that is not, by its number.
    """
    finite = np.isfinite(coefficients).all(-1) & np.isfinite(gain)
    _refuse(owner, ~finite, "finite coefficients and gains")
    if not stable:
        return
    filters = np.array(coefficients, np.float64, order="C").reshape(-1, coefficients.shape[-1])
    bad = unstable_by_kernel(filters) if has_kernel() else unstable_by_steps(filters)
    _refuse(owner, bad.reshape(finite.shape), "a stable filter, reflection coefficients < 1")


def unstable_by_kernel(filters: np.ndarray) -> np.ndarray:
    """Return which filters `(N, p)` are not stable, by the compiled loop; they are overwritten."""
    from distill.kernels.linear_prediction import mark_unstable

    unstable = np.zeros(len(filters), bool)
    mark_unstable(filters, unstable)
    return unstable


def unstable_by_steps(filters: np.ndarray) -> np.ndarray:
    """Return which filters `(N, p)` are not stable, in p steps over all of them at once."""
    a, all_inside = filters, np.ones(len(filters), bool)
    for last in range(a.shape[1] - 1, -1, -1):
        k = a[:, last, None]
        inside = np.abs(k) < 1
        all_inside &= inside[:, 0]
        k = np.where(inside, k, 0.0)
        a = (a[:, :last] + k * a[:, :last][:, ::-1]) / (1 - k * k)
    return ~all_inside


def _refuse(owner: str, bad: np.ndarray, wanted: str) -> None:
    if bad.any():
        value, frame = np.argwhere(bad)[0]
        raise ValueError(
            f"{owner}: wanted {wanted}, got others in frame {frame} of value {value} "
            f"({bad.sum()} of {bad.size} frames). Derive them by Levinson's recursion from an "
            "envelope whose features are finite."
        )


def _by_scipy(rows: np.ndarray, coefficients: np.ndarray, hop: int) -> None:
    from scipy.signal import lfilter, lfiltic

    order = coefficients.shape[-1]
    for row, own in zip(rows, coefficients, strict=True):
        for f, a in enumerate(own.astype(np.float64)):
            start = order + f * hop
            whole = np.concatenate([[1.0], -a])
            state = lfiltic([1.0], whole, row[start - order : start][::-1])
            row[start : start + hop] = lfilter([1.0], whole, row[start : start + hop], zi=state)[0]
