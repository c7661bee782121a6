"""Ways to sample a model that a speed comparison sets side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from distill.bijectors import Autoregressive, Inverse, Jacobi
from distill.contract import Features
from distill.models import Density
from distill.models.in_rounds import Rounds


class InRounds:
    """Draws from a model by rounds, and says how many it took and how far off they end.

    Arguments:
        model: The model.
        jacobi: When rounds end.
        features: Rows of features, repeated as often as a batch needs.
        sites: T, where the data does not fix it.
    """

    def __init__(
        self, model: Density, jacobi: Jacobi, features: Features, sites: int | None
    ) -> None:
        self.model, self.jacobi, self.features, self.sites = model, jacobi, features, sites
        self.last: Rounds | None = None
        self.off: str | None = None

    def __call__(self, count: int, seed: int | None = None) -> Tensor:
        """Draw so many values.

        Errors:
            ValueError: Nothing in the model is sequential.
        """
        given = rows(self.features, count, device_of(self.model))
        self.last = self.model.sample_in_rounds(
            count, given, sites=self.sites, seed=seed, jacobi=self.jacobi
        )
        if not self.last.layers:
            raise ValueError(f"nothing in this {type(self.model).__name__} is sequential")
        return self.last.x

    def note(self, count: int) -> str:
        """Say what the last draw took; the first time also compare it with the sequential one."""
        said = str(self.last)
        if self.off is None:
            given = rows(self.features, count, device_of(self.model))
            exact = self.model.sample(count, given, sites=self.sites, seed=0)
            off = float((self(count, seed=0) - exact).abs().max())
            self.off = f"{off:.1e} from the sequential sampler at batch {count}"
        return f"{said}; {self.off}"


@contextlib.contextmanager
def whole_passes(model: nn.Module) -> Iterator[None]:
    """Let autoregressive layers invert by whole passes, the plain baseline, for a while."""
    layers = [m for m in model.modules() if isinstance(m, Autoregressive)]
    before = [layer.incremental for layer in layers]
    try:
        for layer in layers:
            layer.incremental = False
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.incremental = was


def sequential(model: nn.Module) -> bool:
    """Whether a model samples through `Inverse(Autoregressive)` layers."""
    inverses = [m for m in model.modules() if isinstance(m, Inverse)]
    return any(isinstance(m.bijector, Autoregressive) for m in inverses)


def rows(features: Features, count: int, device: torch.device | str = "cpu") -> Features:
    """Return `count` rows of features, the given ones again and again."""
    if not features:
        return None
    return {
        name: value[torch.arange(count) % value.shape[0]].to(device)
        for name, value in features.items()
    }


def device_of(model: nn.Module) -> torch.device:
    """Return where a model lies."""
    return next(model.parameters(), torch.zeros(())).device
