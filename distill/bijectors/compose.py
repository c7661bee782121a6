"""Composition of bijectors: chains, and the same map read backwards."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from distill.bijectors.base import Bijector, State
from distill.bijectors.fixed_point import Jacobi, Solution
from distill.bijectors.from_outputs import Again, Step, from_outputs
from distill.contract import Context
from distill.functional import check_recompute, may_draw, passes_gradient, recomputed


class Chain(Bijector):
    """Apply bijectors one after the other, the first one nearest to the noise.

    Arguments:
        layers: The bijectors, from noise to data.
        recompute: What to keep where a gradient passes: everything (`False`); `activations`, or
            `True`, computes again what is inside a layer, and keeps the values between layers;
            `outputs` finds those back too, by the inverse of layers that are parallel in both
            directions, and does as `activations` for others. Each costs time.

    Errors:
        ValueError: No layers, or another way to recompute.

    Example:
        >>> from distill.bijectors import Flip, Standardize
        >>> chain = Chain([Standardize(loc=[1.0, 2.0], scale=[1.0, 1.0]), Flip()])
        >>> chain(torch.zeros(1, 2))[0].tolist()
        [[2.0, 1.0]]
    """

    def __init__(self, layers: Iterable[Bijector], recompute: bool | str = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.recompute = check_recompute(recompute)
        if not len(self.layers):
            raise ValueError("Chain: wanted at least one layer, got none.")

    @property
    def keeps_order(self) -> bool:  # type: ignore[override]
        """Whether every layer keeps the order of sites."""
        return all(layer.keeps_order for layer in self.layers)

    @property
    def is_affine(self) -> bool:  # type: ignore[override]
        """Whether every layer is affine in its site."""
        return all(layer.is_affine for layer in self.layers)

    @property
    def is_parallel(self) -> bool:  # type: ignore[override]
        """Whether every layer is parallel in both directions."""
        return all(layer.is_parallel for layer in self.layers)

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Apply the layers from first to last."""
        steps = [
            Step(layer.forward, layer.inverse, layer.forward_again, layer) for layer in self._layers
        ]
        return self._run(steps, u, context)

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Undo the layers from last to first."""
        steps = [
            Step(layer.inverse, layer.forward, layer.inverse_again, layer)
            for layer in reversed(self._layers)
        ]
        return self._run(steps, x, context)

    def forward_in_rounds(
        self, u: Tensor, context: Context | None, jacobi: Jacobi
    ) -> tuple[Tensor, list[Solution]]:
        """Apply the layers from first to last, each by rounds of its own."""
        return _in_rounds([layer.forward_in_rounds for layer in self._layers], u, context, jacobi)

    def inverse_in_rounds(
        self, x: Tensor, context: Context | None, jacobi: Jacobi
    ) -> tuple[Tensor, list[Solution]]:
        """Undo the layers from last to first, each by rounds of its own."""
        maps = [layer.inverse_in_rounds for layer in reversed(self._layers)]
        return _in_rounds(maps, x, context, jacobi)

    @property
    def state_size(self) -> int:  # type: ignore[override]
        """Number of tensors in the state of all layers."""
        return sum(layer.state_size for layer in self._layers)

    @property
    def _layers(self) -> list[Bijector]:
        return list(self.layers)  # type: ignore[arg-type]

    def start(self, u: Tensor, context: Context | None = None) -> State:
        """Return the states of the layers, one after the other."""
        return tuple(part for layer in self._layers for part in layer.start(u, context))

    def run(
        self, state: State, u: Tensor, context: Context | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Map the next chunk through all layers."""
        total, begin = torch.zeros_like(u), 0
        after: list[Tensor] = []
        for layer in self._layers:
            own = state[begin : begin + layer.state_size]
            u, log_det, own = layer.run(own, u, context)
            total = total + log_det
            after += own
            begin += layer.state_size
        return u, total, tuple(after)

    def trace(self, u: Tensor, context: Context | None = None) -> list[Tensor]:
        """Return the noise and the value after each layer, for layer-by-layer pictures."""
        values = [u]
        for layer in self.layers:
            values.append(layer(values[-1], context)[0])
        return values

    def _run(
        self, steps: list[Step], value: Tensor, context: Context | None
    ) -> tuple[Tensor, Tensor]:
        total = torch.zeros_like(value)
        again = bool(self.recompute) and passes_gradient(self, value)
        draws = again and may_draw(self)
        for several in self._pieces(steps, draws) if again else ([step] for step in steps):
            if len(several) > 1:
                value, log_det = from_outputs(several, value, context)
            elif again:
                value, log_det = recomputed(several[0].apply, value, context, draws=draws)
            else:
                value, log_det = several[0].apply(value, context)
            total = total + log_det
        return value, total

    def _pieces(self, steps: list[Step], draws: bool) -> list[list[Step]]:
        """Return neighbors that are to be found back from their last output, others one by one."""
        pieces: list[list[Step]] = []
        joined = False
        for step in steps:
            joins = self.recompute == "outputs" and not draws and bool(step.layer.is_parallel)
            if joins and joined:
                pieces[-1].append(step)
            else:
                pieces.append([step])
            joined = joins
        return pieces


class Inverse(Bijector):
    """Read a bijector backwards: `Inverse(Autoregressive(conditioner))` is a MAF layer.

    Arguments:
        bijector: The map to invert.

    Source: Papamakarios et al., Masked Autoregressive Flow, 2017, arXiv 1705.07057.

    Example:
        >>> from distill.bijectors import Standardize
        >>> Inverse(Standardize(loc=[1.0], scale=[2.0]))(torch.tensor([[5.0]]))[0].tolist()
        [[2.0]]
    """

    def __init__(self, bijector: Bijector) -> None:
        super().__init__()
        self.bijector = bijector

    @property
    def keeps_order(self) -> bool:  # type: ignore[override]
        """Whether the inverted map keeps the order (its inverse then does too)."""
        return self.bijector.keeps_order

    @property
    def is_affine(self) -> bool:  # type: ignore[override]
        """Whether the inverted map is affine in its site."""
        return self.bijector.is_affine

    @property
    def is_parallel(self) -> bool:  # type: ignore[override]
        """Whether the map is parallel in both directions."""
        return self.bijector.is_parallel

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Apply the inverse of the inner bijector."""
        return self.bijector.inverse(u, context)

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Apply the inner bijector."""
        return self.bijector.forward(x, context)

    def forward_again(self, x: Tensor, context: Context | None = None) -> Again:
        """Find the noise, and map it again."""
        return self.bijector.inverse_again(x, context)

    def inverse_again(self, u: Tensor, context: Context | None = None) -> Again:
        """Find the data, and map it again."""
        return self.bijector.forward_again(u, context)

    def forward_in_rounds(
        self, u: Tensor, context: Context | None, jacobi: Jacobi
    ) -> tuple[Tensor, list[Solution]]:
        """Apply the inverse of the inner bijector, by rounds."""
        return self.bijector.inverse_in_rounds(u, context, jacobi)

    def inverse_in_rounds(
        self, x: Tensor, context: Context | None, jacobi: Jacobi
    ) -> tuple[Tensor, list[Solution]]:
        """Apply the inner bijector, by rounds where it takes any."""
        return self.bijector.forward_in_rounds(x, context, jacobi)


def _in_rounds(
    maps: list, value: Tensor, context: Context | None, jacobi: Jacobi
) -> tuple[Tensor, list[Solution]]:
    solutions: list[Solution] = []
    for apply in maps:
        value, own = apply(value, context, jacobi)
        solutions += own
    return value, solutions
