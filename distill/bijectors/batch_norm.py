"""Batch normalization as a bijector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distill import rows
from distill.bijectors.base import Bijector
from distill.checks import check_number, check_sites
from distill.contract import Context
from distill.functional import is_backward, is_transformed


class BatchNorm(Bijector):
    r"""Batch normalization, data to noise: $u = e^{g}(x - m)/\sqrt{v + \epsilon} + b$.

    In training, `inverse` (data to noise, the direction that a density trains) takes $m, v$ from
    the batch, and moves the running ones towards them; its log-det is that of the affine map with
    these numbers. `forward`, and both directions in evaluation, use the running statistics, so that
    in evaluation the two are exact inverses and a density is a density. A student, which trains
    noise to data, uses `Inverse(BatchNorm(sites))`.

    The running statistics are left alone by a batch that is not finite, inside `torch.func`, and
    when a layer is computed a second time for the backward pass (recomputation).

    Arguments:
        sites: T.
        momentum: Weight of the newest batch in the running statistics.
        eps: Added to the variance.

    Errors:
        ValueError: A training batch of one row, which has no variance.

    Source: Dinh et al., Real-NVP, 2016, arXiv 1605.08803, section 3.7.

    Example:
        >>> layer = BatchNorm(sites=1).eval()
        >>> u, log_det = layer.inverse(torch.tensor([[2.0]]))
        >>> torch.allclose(layer(u)[0], torch.tensor([[2.0]]))
        True
    """

    keeps_order = True
    is_affine = True
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, sites: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        check_number("BatchNorm: sites", sites, low=1, whole=True)
        check_number("BatchNorm: momentum", momentum, low=0, high=1)
        check_number("BatchNorm: eps", eps, low=0)
        self.momentum = momentum
        self.eps = eps
        self.bias = nn.Parameter(torch.zeros(sites))
        self.log_gain = nn.Parameter(torch.zeros(sites))
        self.register_buffer("running_mean", torch.zeros(sites))
        self.register_buffer("running_var", torch.ones(sites))

    @property
    def is_parallel(self) -> bool:  # type: ignore[override]
        """Whether both directions undo each other: in training one has the batch's statistics."""
        return not self.training

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Go from noise to data with the running statistics."""
        check_sites(self, u, len(self.bias))
        log_det = 0.5 * (self.running_var + self.eps).log() - self.log_gain
        x = (u - self.bias) * log_det.exp() + self.running_mean
        return x, log_det.expand_as(u)

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Normalize: by the batch in training, by the running statistics in evaluation."""
        check_sites(self, x, len(self.bias))
        if self.training:
            size = rows.count(x)
            if size < 2:
                raise ValueError(
                    "BatchNorm: wanted a training batch of at least 2 rows, got 1. Use a larger "
                    "batch, or eval()."
                )
            mean, var = rows.moments(x, self)
            if not (is_backward() or is_transformed()):
                self._track(mean.detach(), var.detach() * (size / (size - 1)))
        else:
            mean, var = self.running_mean, self.running_var
        log_det = self.log_gain - 0.5 * (var + self.eps).log()
        return (x - mean) * log_det.exp() + self.bias, log_det.expand_as(x)

    @torch.no_grad()
    def _track(self, mean: Tensor, unbiased_var: Tensor) -> None:
        # One batch that is not finite would spoil the statistics for good.
        finite = (mean + unbiased_var).isfinite().all()
        self.running_mean.lerp_(torch.where(finite, mean, self.running_mean), self.momentum)
        self.running_var.lerp_(torch.where(finite, unbiased_var, self.running_var), self.momentum)
