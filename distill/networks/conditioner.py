"""The contract of a conditioner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distill.contract import Context
from distill.distributions.head import Head
from distill.networks.sweep import Sweep, Update


class Conditioner(nn.Module):
    """A strictly causal network: values `(B, T)` to `parameters_per_site` numbers per site.

    `forward(x, context)` gives `(B, T, P)` in parallel; row t depends on sites before t only, by a
    shift *inside* the network. The same function one site at a time, with an explicit state:

        state = conditioner.start(x, context)        # x gives batch, T, dtype and device only
        params, state = conditioner.step(state, x_t) # x_t (B,): the site last completed

    The first step takes zeros and gives the parameters of the first site. A state is used up by the
    step that takes it. The context is opaque to flows: only a conditioner interprets it.

    Attributes:
        parameters_per_site: P.
        order: The sites in the order they are read, or `None` for 0, 1, 2, ...
        gains_from_bfloat16: Whether training in mixed precision pays where the hardware has units
            for it, at no loss: small products cost more to cast than they save.
    """

    parameters_per_site: int
    order: Sequence[int] | None = None
    gains_from_bfloat16: bool = False

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        """Compute the parameters of all sites."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def start(self, x: Tensor, context: Context | None = None) -> Any:
        """Return the state before the first site."""
        raise NotImplementedError(f"{type(self).__name__} does not define start.")

    def step(self, state: Any, x_t: Tensor) -> tuple[Tensor, Any]:
        """Take in the site last completed; return the next one's parameters `(B, P)`."""
        raise NotImplementedError(f"{type(self).__name__} does not define step.")

    def sweep(self, update: Update, like: Tensor, context: Context | None = None) -> Sweep:
        """Return what updates many sites at once, for sampling by rounds (`Jacobi`)."""
        return Sweep(self, update, like, context)

    @torch.no_grad()
    def generate(
        self, head: Head, noise: Tensor, context: Context | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw `(B, T)` site after site from an output head.

        Arguments:
            head: Its distribution of each site.
            noise: From `head.noise((B, T))`, `(B, T, N)`.
            context: What the parallel pass takes.
            temperature: Scales the noise.
        """
        if not self.steps_as_it_passes():
            return self.generate_by_passes(head, noise, context, temperature)
        return self.generate_by_steps(head, noise, context, temperature)

    def steps_as_it_passes(self) -> bool:
        """Return whether steps compute what `forward` does: no hooks or parts that they leave out.

        Where they do not, sampling and inversion take whole passes.
        """
        return True

    @torch.no_grad()
    def generate_by_passes(
        self, head: Head, noise: Tensor, context: Context | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw likewise by a whole pass for each site, which runs whatever is in the network."""
        x = noise.new_zeros(noise.shape[:2])
        for site in range(x.shape[1]) if self.order is None else self.order:
            raw = self(x, context)[:, site]
            x[:, site] = head.sample_from(raw, noise[:, site], temperature)
        return x

    @torch.no_grad()
    def generate_by_steps(
        self, head: Head, noise: Tensor, context: Context | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw likewise by the plain steps, whatever faster way `generate` may have."""
        x = noise.new_zeros(noise.shape[:2])
        state = self.start(x, context)
        last = torch.zeros_like(x[:, 0])
        for site in range(x.shape[1]) if self.order is None else self.order:
            raw, state = self.step(state, last)
            last = x[:, site] = head.sample_from(raw, noise[:, site], temperature)
        return x
