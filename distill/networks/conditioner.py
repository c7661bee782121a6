"""The contract of a conditioner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


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
    """

    parameters_per_site: int
    order: Sequence[int] | None = None

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute the parameters of all sites."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward.")

    def start(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Return the state before the first site."""
        raise NotImplementedError(f"{type(self).__name__} does not define start.")

    def step(self, state: Any, x_t: Tensor) -> tuple[Tensor, Any]:
        """Take in the site last completed; return the next one's parameters `(B, P)`."""
        raise NotImplementedError(f"{type(self).__name__} does not define step.")
