"""nflows' masked autoregressive flow."""

from __future__ import annotations

from torch import Tensor, nn

from distill.benchmark.peers.mafs import MAFPeer, Sizes, sizes_of
from distill.models import Density


class NFlows(MAFPeer):
    """`MaskedAffineAutoregressiveTransform`s with the order reversed between them."""

    package = "nflows"
    modules = ("nflows", "nflows.distributions", "nflows.flows", "nflows.transforms")

    def refuses(self, teacher: Density) -> str | None:
        """Refuse hidden layers of several widths too, which the library lacks."""
        sizes = sizes_of(teacher)
        if sizes is not None and len(set(sizes.hidden)) != 1:
            return f"it has one width for all hidden layers, the teacher has {sizes.hidden}"
        return super().refuses(teacher)

    def build(self, sizes: Sizes) -> nn.Module:
        """Return the flow."""
        from nflows.distributions import StandardNormal
        from nflows.flows import Flow
        from nflows.transforms import (
            CompositeTransform,
            MaskedAffineAutoregressiveTransform,
            ReversePermutation,
        )

        steps = []
        for _ in range(sizes.layers):
            made = MaskedAffineAutoregressiveTransform(
                sizes.sites,
                sizes.hidden[0],
                num_blocks=len(sizes.hidden),
                use_residual_blocks=False,
            )
            steps += [ReversePermutation(sizes.sites), made]
        return Flow(CompositeTransform(steps), StandardNormal([sizes.sites]))

    def sample(self, flow: nn.Module, count: int) -> Tensor:
        """Draw `(count, T)`."""
        return flow.sample(count)  # type: ignore[operator]

    def log_prob(self, flow: nn.Module, x: Tensor) -> Tensor:
        """Return the log-density `(B,)`."""
        return flow.log_prob(x)  # type: ignore[operator]
