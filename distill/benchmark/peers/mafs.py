"""What other libraries' masked autoregressive flows share: the teacher's sizes, and its race."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distill.benchmark.counting import affine, count
from distill.benchmark.inputs import Inputs
from distill.benchmark.peers.peer import Peer
from distill.benchmark.race import Contestant, Forecast
from distill.benchmark.teachers import megabytes_of
from distill.benchmark.timing import measure
from distill.bijectors import Autoregressive, Inverse
from distill.evaluation.placing import place_of
from distill.models import Density
from distill.networks import MADE


@dataclass(frozen=True)
class Sizes:
    """Sizes of a masked autoregressive flow.

    Arguments:
        sites: T.
        layers: Number of autoregressive layers.
        hidden: Widths of each one's hidden layers.
    """

    sites: int
    layers: int
    hidden: list[int]


def sizes_of(model: Density) -> Sizes | None:
    """Return a flow's sizes, `None` for what is no masked autoregressive flow.

    Example:
        >>> from distill.contract import DataSpec
        >>> from distill.models import maf
        >>> sizes_of(maf(DataSpec(sites=3), 2, [8, 6]))
        Sizes(sites=3, layers=2, hidden=[8, 6])
    """
    nets = [
        m.bijector.conditioner
        for m in model.modules()
        if isinstance(m, Inverse) and isinstance(m.bijector, Autoregressive)
    ]
    mades = [net for net in nets if isinstance(net, MADE)]
    if not mades or len(mades) < len(nets):
        return None
    return Sizes(mades[0].sites, len(mades), [len(layer.bias) for layer in mades[0].layers][:-1])  # type: ignore[arg-type]


class MAFPeer(Peer):
    """A library's masked autoregressive flow of affine layers, of the teacher's sizes.

    It samples by one whole pass per site and layer, as the library does.
    """

    backend = "maf"

    def build(self, sizes: Sizes) -> nn.Module:
        """Return the library's flow."""
        raise NotImplementedError(f"{type(self).__name__} does not define build.")

    def sample(self, flow: nn.Module, count: int) -> Tensor:
        """Draw by the library's own function."""
        raise NotImplementedError(f"{type(self).__name__} does not define sample.")

    def log_prob(self, flow: nn.Module, x: Tensor) -> Tensor:
        """Score by the library's own function."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob.")

    def refuses(self, teacher: Density) -> str | None:
        """Refuse what is no masked autoregressive flow."""
        if sizes_of(teacher) is None:
            return "its flow is compared with teachers that are MAFs of MADEs only"
        return None

    def contestant(self, teacher: Density, inputs: Inputs, told: str) -> Contestant:
        """Return its flow, of the teacher's sizes, where the teacher is."""
        sizes, (device, dtype) = sizes_of(teacher), place_of(teacher)
        assert sizes is not None, "refuses was not asked"
        flow = self.build(sizes).to(device, dtype).eval()

        @torch.no_grad()
        def draw(batch: int) -> Tensor:
            return self.sample(flow, batch)

        return Contestant(
            self.package,
            self.backend,
            draw,
            device,
            sizes.sites,
            affine(lambda batch: count(lambda: draw(batch)), 1, 2),
            self._forecast(flow, sizes.sites, device, dtype),
            megabytes=megabytes_of(flow),
            note=told,
        )

    def _forecast(
        self, flow: nn.Module, sites: int, device: torch.device, dtype: torch.dtype
    ) -> Callable[[int], Forecast]:
        def forecast(batch: int) -> Forecast:
            x = torch.zeros(batch, sites, device=device, dtype=dtype)
            with torch.no_grad():
                seconds = measure(lambda: self.log_prob(flow, x), 2, device=device).minimum
            return Forecast(seconds * sites, "one pass")

        return forecast
