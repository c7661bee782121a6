"""What sampling by Jacobi rounds gives: values, and how well they have converged."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from distill.bijectors import Solution


@dataclass(frozen=True)
class Rounds:
    """Samples by rounds of all sites at once, layer by layer.

    Arguments:
        x: The samples, `(B, T)`.
        layers: What each sequential layer came to, from noise to data; none where nothing is
            sequential.

    Example:
        >>> from distill import Jacobi, maf
        >>> from distill.contract import DataSpec
        >>> teacher = maf(DataSpec(sites=8), layers=2, hidden=[8])
        >>> rounds = teacher.sample_in_rounds(3, seed=0, jacobi=Jacobi(tolerance=0.0))
        >>> rounds.x.shape, rounds.converged, rounds.taken <= rounds.steps == 16
        (torch.Size([3, 8]), True, True)
    """

    x: Tensor
    layers: tuple[Solution, ...]

    @property
    def converged(self) -> bool:
        """Whether every layer did."""
        return all(layer.converged for layer in self.layers)

    @property
    def taken(self) -> int:
        """Rounds of all layers together: parallel passes, one after the other."""
        return sum(sum(layer.rounds) for layer in self.layers)

    @property
    def steps(self) -> int:
        """Steps of all layers together that the sequential sampler takes."""
        return sum(sum(layer.most) for layer in self.layers)

    @property
    def error(self) -> float:
        """Estimated largest distance of a layer's values to those of the sequential sampler."""
        return max((layer.error for layer in self.layers), default=0.0)

    def __str__(self) -> str:
        """Say what was done, and what is not done."""
        each = " + ".join(str(sum(layer.rounds)) for layer in self.layers) or "0"
        off = f"off by about {self.error:.1g}" if self.error else "exact"
        text = f"{each} rounds for {self.steps} steps, {off}"
        return text if self.converged else f"{text}, not converged: {self.unsettled()}"

    def unsettled(self) -> str:
        """Name the first layer and window that has not converged."""
        for i, layer in enumerate(self.layers):
            if layer.unsettled is not None:
                j = layer.unsettled
                return (
                    f"layer {i + 1} of {len(self.layers)}, window {j + 1} of {len(layer.rounds)} "
                    f"still moved by {layer.moved[j]:.2g} in round {layer.rounds[j]}"
                )
        return "nothing"

    def checked(self) -> Tensor:
        """Return the samples.

        Errors:
            ValueError: They did not converge.
        """
        if not self.converged:
            raise ValueError(
                f"jacobi: {self.unsettled()}. Allow more rounds, a larger tolerance or smaller "
                "windows; rounds=None always converges."
            )
        return self.x
