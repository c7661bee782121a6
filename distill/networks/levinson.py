"""Levinson's recursion: an autocorrelation to a linear predictor."""

from __future__ import annotations

import torch
from torch import Tensor


def levinson(r: Tensor) -> tuple[Tensor, Tensor]:
    r"""Solve the normal equations $\sum_j r_{|k-j|} a_j = r_k$, k = 1 to p, for many r at once.

    p steps, each over all leading axes, of operations that `torch.export` takes. The filter
    $1 / (1 - \sum_k a_k z^{-k})$ is stable if r is positive definite.

    Arguments:
        r: Autocorrelations $r_0, \dots, r_p$, `(..., p + 1)`.

    Returns:
        $a_1, \dots, a_p$, `(..., p)`, and the variance of what is not predicted, `(...)`.

    Source: Levinson, 1947; Durbin, 1960.

    Example:
        >>> a, error = levinson(torch.tensor([1.0, 0.5, 0.25]))
        >>> a.tolist(), error.item()
        ([0.5, 0.0], 0.75)
    """
    error = r[..., :1]
    a = back = r[..., :0]  # the predictor, and the same from its last tap to its first
    for i in range(1, r.shape[-1]):
        k = (r[..., i : i + 1] - (back * r[..., 1:i]).sum(-1, keepdim=True)) / error
        a, back = torch.cat([a - k * back, k], -1), torch.cat([k, back - k * a], -1)
        error = error * (1 - k * k)
    return a, error[..., 0]
