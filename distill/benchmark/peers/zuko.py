"""zuko's masked autoregressive flow."""

from __future__ import annotations

from torch import Tensor, nn

from distill.benchmark.peers.mafs import MAFPeer, Sizes


class Zuko(MAFPeer):
    """`zuko.flows.MAF`, of affine layers."""

    package = "zuko"
    modules = ("zuko",)

    def build(self, sizes: Sizes) -> nn.Module:
        """Return the flow."""
        import zuko

        return zuko.flows.MAF(sizes.sites, transforms=sizes.layers, hidden_features=sizes.hidden)

    def sample(self, flow: nn.Module, count: int) -> Tensor:
        """Draw `(count, T)`."""
        return flow().sample((count,))

    def log_prob(self, flow: nn.Module, x: Tensor) -> Tensor:
        """Return the log-density `(B,)`."""
        return flow().log_prob(x)
