"""The one autoregressive bijector: as it stands an IAF layer, inverted a MAF layer."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from distill.bijectors.base import Bijector, State, needs_whole_values
from distill.bijectors.elementwise import Affine, Transform
from distill.bijectors.fixed_point import Jacobi, Solution, solve
from distill.contract import Context
from distill.networks.conditioner import Conditioner


@runtime_checkable
class Chunked(Protocol):
    """A conditioner that computes chunks with an explicit state, as `WaveNet` does."""

    def start_run(self, x: Tensor) -> State:
        """Return the state before the first site."""

    def run(self, state: State, x: Tensor, context: Context | None = None) -> tuple[Tensor, State]:
        """Compute the parameters of the next chunk, and the state after it."""


class Autoregressive(Bijector):
    r"""Transform each site by a function of the noise before it: $x_t = \tau(u_t; c(u_{<t}))$.

    `forward` is one parallel pass. `inverse` is sequential, T steps: `incremental` steps that
    compute only what a new site changes, or with gradients enabled T whole passes, which autograd
    can follow. `Inverse(Autoregressive(...))` swaps the costs: a MAF scores in parallel and samples
    sequentially.

    Arguments:
        conditioner: A strictly causal network, noise sites to parameters.
        transform: What is done to a site; affine by default.

    Attributes:
        incremental: Set it to `False` to invert by whole passes always, the plain baseline.

    Errors:
        ValueError: The conditioner gives another number of parameters than the transform takes.

    Source: Kingma et al., Inverse Autoregressive Flow, 2016, arXiv 1606.04934.

    Example:
        >>> from distill.networks import MADE
        >>> layer = Autoregressive(MADE(sites=3, hidden=[8]))
        >>> u = torch.randn(5, 3)
        >>> x, log_det = layer(u)
        >>> torch.allclose(layer.inverse(x)[0], u, atol=1e-5)
        True
    """

    incremental: bool = True

    def __init__(self, conditioner: Conditioner, transform: Transform | None = None) -> None:
        super().__init__()
        self.conditioner = conditioner
        self.transform = transform if transform is not None else Affine()
        got, wanted = conditioner.parameters_per_site, self.transform.parameters_per_site
        if got != wanted:
            raise ValueError(
                f"Autoregressive: {type(self.transform).__name__} wants {wanted} parameters per "
                f"site, {type(conditioner).__name__} gives {got}. Build the conditioner with "
                f"parameters_per_site={wanted}."
            )
        if isinstance(conditioner, Chunked):
            self.state_size = len(conditioner.start_run(torch.empty(0, 1)))

    @property
    def keeps_order(self) -> bool:  # type: ignore[override]
        """Whether the conditioner reads the sites in their natural order."""
        return self.conditioner.order is None

    @property
    def is_affine(self) -> bool:  # type: ignore[override]
        """Whether the transform is affine."""
        return self.transform.is_affine

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Map noise to data in one parallel pass."""
        return self.transform(u, self.conditioner(u, context))

    def start(self, u: Tensor, context: Context | None = None) -> State:
        """Return the conditioner's state before the first site.

        Errors:
            ValueError: The conditioner has no chunks (a MADE fixes the number of sites).
        """
        return self._chunked.start_run(u)

    def run(
        self, state: State, u: Tensor, context: Context | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Map the next chunk of noise in one parallel pass."""
        raw, state = self._chunked.run(state, u, context)
        return *self.transform(u, raw), state

    @property
    def _chunked(self) -> Chunked:
        if not isinstance(self.conditioner, Chunked):
            name = type(self.conditioner).__name__
            raise needs_whole_values(self, f"its conditioner, a {name}, reads whole values")
        return self.conditioner

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Map data to noise, site after site."""
        by_steps = self.incremental and self.conditioner.steps_as_it_passes()
        if torch.is_grad_enabled() or not by_steps:
            return self.inverse_by_passes(x, context)
        return self.inverse_by_steps(x, context)

    def inverse_in_rounds(
        self, x: Tensor, context: Context | None, jacobi: Jacobi
    ) -> tuple[Tensor, list[Solution]]:
        """Map data to noise by rounds of all sites at once, starting at the data."""

        def update(raw: Tensor, sites: slice | Tensor) -> Tensor:
            return self.transform.inverse(x[:, sites], raw)[0]

        solution = solve(self.conditioner.sweep(update, x, context), x, jacobi)
        return solution.x, [solution]

    def inverse_by_passes(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Invert with one whole pass of the conditioner per site: plain and differentiable."""
        order = range(x.shape[1]) if self.conditioner.order is None else self.conditioner.order
        u = [torch.zeros_like(x[:, 0])] * x.shape[1]
        log_det = list(u)
        for site in order:
            raw = self.conditioner(torch.stack(u, 1), context)[:, site]
            u[site], log_det[site] = self.transform.inverse(x[:, site], raw)
        return torch.stack(u, 1), torch.stack(log_det, 1)

    @torch.no_grad()
    def inverse_by_steps(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Invert with one incremental step of the conditioner per site: fast, without gradients."""
        order = range(x.shape[1]) if self.conditioner.order is None else self.conditioner.order
        # Sites first, so that what a step reads and writes lies together.
        x_sites = x.T.contiguous()
        u, log_det = torch.empty_like(x_sites), torch.empty_like(x_sites)
        state = self.conditioner.start(x, context)
        last = torch.zeros_like(x_sites[0])
        for site in order:
            raw, state = self.conditioner.step(state, last)
            last, log_det[site] = self.transform.inverse(x_sites[site], raw)
            u[site] = last
        return u.T.contiguous(), log_det.T.contiguous()
