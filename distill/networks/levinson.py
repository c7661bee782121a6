"""Levinson's recursion: an autocorrelation to a linear predictor."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.kernels.choice import may_compile


def levinson(r: Tensor) -> tuple[Tensor, Tensor]:
    r"""Solve the normal equations $\sum_j r_{|k-j|} a_j = r_k$, k = 1 to p, for many r at once.

    The filter $1 / (1 - \sum_k a_k z^{-k})$ is stable if r is positive definite. A compiled loop
    does it where no gradient is wanted.

    Arguments:
        r: Autocorrelations $r_0, \dots, r_p$, `(..., p + 1)`.

    Returns:
        $a_1, \dots, a_p$, `(..., p)`, and the variance of what is not predicted, `(...)`.

    Source: Levinson, 1947; Durbin, 1960.

    Example:
        >>> a, error = levinson(torch.tensor([1.0, 0.5, 0.4], dtype=torch.float64))
        >>> a.round(decimals=9).tolist(), round(error.item(), 9)
        ([0.4, 0.2], 0.72)
    """
    if r.requires_grad or r.dtype != torch.float64 or not may_compile(r):
        return levinson_by_steps(r)
    # Imported here: numba costs half a second, and only this needs it.
    from distill.kernels.levinson import solve

    rows = r.flatten(0, -2) if r.dim() > 1 else r[None]
    a, error = r.new_zeros(rows.shape[0], r.shape[-1] - 1), r.new_zeros(rows.shape[0])
    solve(rows.contiguous().numpy(), a.numpy(), error.numpy())
    return a.reshape(*r.shape[:-1], -1), error.reshape(r.shape[:-1])


def levinson_by_steps(r: Tensor) -> tuple[Tensor, Tensor]:
    r"""Do the same in p steps over all leading axes, six operations each, which exports take.

    With the prediction error filters A (forward) and B (backward), a step is
    $A \leftarrow A - k z^{-1} B$ and $B \leftarrow z^{-1} B - k A$, where the reflection k makes
    the next entry of A's correlation with r vanish. Filters and correlations lie in one row, since
    the same step takes both on (Schur's form).

    Arguments:
        r: As in `levinson`.

    Source: Le Roux and Gueguen, 1977.
    """
    size = r.shape[-1]
    forward = torch.cat([torch.ones_like(r[..., :1]), torch.zeros_like(r[..., 1:]), r], -1)
    backward = forward
    for i in range(size + 1, 2 * size):
        # Entries that come over the border, or stand before the i-th, are never looked at.
        delayed = F.pad(backward, (1, -1))
        k = forward[..., i : i + 1] / delayed[..., i : i + 1]
        backward = torch.addcmul(delayed, k, forward, value=-1)
        forward = torch.addcmul(forward, k, delayed, value=-1)
    return -forward[..., 1:size], backward[..., -1]
