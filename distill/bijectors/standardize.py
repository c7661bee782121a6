"""Fixed and data-dependent scaling of each site."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from distill import rows
from distill.bijectors.base import Bijector, State, needs_whole_values
from distill.checks import check_number, check_several, check_sites
from distill.contract import Context
from distill.functional import is_backward, is_transformed, passes_gradient


class Standardize(Bijector):
    r"""Carry standardized values to data units: $x = \text{scale}\cdot u + \text{loc}$.

    As the last layer of a chain it lets the network work near unit scale while log-probs stay in
    data units.

    Arguments:
        loc: One number a site, or a single one for all.
        scale: Likewise, positive.

    Example:
        >>> x, log_det = Standardize(loc=[1.0], scale=[2.0])(torch.zeros(1, 3))
        >>> x.tolist(), round(log_det[0, 0].item(), 4)
        ([[1.0, 1.0, 1.0]], 0.6931)
    """

    keeps_order = True
    is_affine = True
    is_parallel = True
    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Sequence[float], scale: Sequence[float]) -> None:
        super().__init__()
        for name, numbers in (("loc", loc), ("scale", scale)):
            check_several(f"Standardize: {name}", numbers, "numbers, as [0.5, 1.0]")
            for number in numbers:
                check_number(f"Standardize: {name}", number)
        if len(loc) != len(scale) or not all(s > 0 for s in scale):
            raise ValueError(
                "Standardize: wanted as many positive scales as locations, got "
                f"{len(loc)} locations and scale={list(scale)}."
            )
        self.register_buffer("loc", torch.tensor(loc, dtype=torch.get_default_dtype()))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.get_default_dtype()))

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Go to data units."""
        self._check(u)
        return torch.addcmul(self.loc, u, self.scale), self.scale.log().expand_as(u)

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Go to standardized units."""
        self._check(x)
        return (x - self.loc) / self.scale, -self.scale.log().expand_as(x)

    def start(self, u: Tensor, context: Context | None = None) -> State:
        """Return no tensors.

        Errors:
            ValueError: Its sites have numbers of their own.
        """
        if len(self.loc) > 1:
            raise needs_whole_values(self, f"it has numbers for each of {len(self.loc)} sites")
        return ()

    def run(
        self, state: State, u: Tensor, context: Context | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Go to data units."""
        return *self.forward(u), state

    def _check(self, value: Tensor) -> None:
        if len(self.loc) > 1:
            check_sites(self, value, len(self.loc))


class ActNorm(Bijector):
    r"""A trainable scale and shift per site, started from the first training batch.

    The first batch that goes from data to noise in training comes out with mean 0 and variance 1.
    Used the other way round (as in a student), it starts at the identity, and stays what training
    makes of it.

    Arguments:
        sites: T.

    Source: Kingma and Dhariwal, Glow, 2018, arXiv 1807.03039.

    Example:
        >>> layer = ActNorm(sites=1)
        >>> layer.inverse(torch.tensor([[1.0], [3.0]]))[0].tolist()
        [[-1.0], [1.0]]
    """

    keeps_order = True
    is_affine = True
    is_parallel = True
    started: Tensor

    def __init__(self, sites: int) -> None:
        super().__init__()
        check_number("ActNorm: sites", sites, low=1, whole=True)
        self.loc = nn.Parameter(torch.zeros(sites))
        self.log_scale = nn.Parameter(torch.zeros(sites))
        self.register_buffer("started", torch.tensor(False))

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Scale and shift."""
        check_sites(self, u, len(self.loc))
        x = torch.addcmul(self.loc, u, self.log_scale.exp())
        if self.training and not self.started and passes_gradient(self, u):
            # Trained this way round, it is not to be started anew by a later batch of data.
            x.register_hook(self._keep)
        return x, self.log_scale.expand_as(u)

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Undo scale and shift; the first training batch sets them."""
        check_sites(self, x, len(self.loc))
        starts = self.training and not self.started
        if starts and not (is_transformed() or is_backward()) and rows.sees_all():
            self._start(x)
        return (x - self.loc) * (-self.log_scale).exp(), -self.log_scale.expand_as(x)

    def _keep(self, gradient: Tensor) -> None:
        self.started.fill_(True)

    @torch.no_grad()
    def _start(self, x: Tensor) -> None:
        if rows.count(x) < 2:
            raise ValueError(
                "ActNorm: wanted a first training batch of at least 2 rows, whose scale it takes, "
                "got 1. Use a larger batch, or eval()."
            )
        mean, var = rows.moments(x, self)
        if (mean + var).isfinite().all():
            self.loc.copy_(mean)
            # What is constant in this batch has no scale yet.
            self.log_scale.copy_(torch.where(var > 0, var.sqrt().clamp_min(1e-6), 1.0).log())
            self.started.fill_(True)
