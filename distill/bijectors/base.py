"""The contract of a bijector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distill.bijectors.fixed_point import Jacobi, Solution
from distill.contract import Context

State = tuple[Tensor, ...]
"""What a chunk must know of those before it: tensors with the batch as their first axis."""


class Bijector(nn.Module):
    r"""An invertible map of sequences, noise to data, with its log-determinant per site.

    `forward(u, context)` gives `(x, log_det)` and `inverse(x, context)` gives `(u, log_det)` of the
    inverse. All four are `(B, T)`; the sum of `log_det` over sites is the true
    $\log\lvert\det\partial x/\partial u\rvert$. A layer that mixes sites spreads it evenly.

    Attributes:
        keeps_order: Site t of x depends on noise sites <= t only (a triangular Jacobian).
        is_affine: Given the noise before it, each site of x is affine in its own noise.
        state_size: Number of tensors in the state of `run`.

    Long values can be mapped in chunks of any length, with an explicit state between them, by the
    layers that need no later noise and do not number their sites:

        state = bijector.start(u, context)             # u gives batch, dtype and device only
        x, log_det, state = bijector.run(state, u, context) # a chunk, and the rows of its context
    """

    keeps_order: bool = False
    is_affine: bool = False
    state_size: int = 0

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Map noise `(B, T)` to data."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Map data `(B, T)` to noise."""
        raise NotImplementedError(f"{type(self).__name__} does not define inverse.")

    def forward_in_rounds(
        self, u: Tensor, context: Context | None, jacobi: Jacobi
    ) -> tuple[Tensor, list[Solution]]:
        """Map noise to data, without gradients, what is sequential by rounds of all sites at once.

        Returns:
            The data, and a record of each layer that took rounds.
        """
        with torch.no_grad():
            return self(u, context)[0], []

    def inverse_in_rounds(
        self, x: Tensor, context: Context | None, jacobi: Jacobi
    ) -> tuple[Tensor, list[Solution]]:
        """Map data to noise likewise."""
        with torch.no_grad():
            return self.inverse(x, context)[0], []

    def start(self, u: Tensor, context: Context | None = None) -> State:
        """Return the state before the first site.

        Errors:
            ValueError: This layer needs whole values.
        """
        raise needs_whole_values(self, "it mixes, reorders or numbers the sites of a value")

    def run(
        self, state: State, u: Tensor, context: Context | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Map the next chunk `(B, t)` of noise; return the state after it too."""
        raise needs_whole_values(self, "it mixes, reorders or numbers the sites of a value")


def needs_whole_values(owner: nn.Module, why: str) -> ValueError:
    """Return the error of a layer that can't run in chunks."""
    return ValueError(
        f"{type(owner).__name__}: wanted a layer that runs in chunks, and {why}. Stream a model of "
        "WaveNet flows in the natural order (student=wavenet_iaf), or draw whole values."
    )
