"""The contracts of models: a density scores, a flow also draws."""

from __future__ import annotations

from torch import Tensor, nn

from distill.contract import DataSpec, Features


class Density(nn.Module):
    """A trainable density of sequences `(B, T)`.

    Attributes:
        spec: What the model knows of its data.
    """

    spec: DataSpec

    def log_prob(self, x: Tensor, features: Features = None) -> Tensor:
        """Return the log-density `(B, T)` of each site; its sum over sites is the true one."""
        raise NotImplementedError(f"{type(self).__name__} does not define log_prob.")

    def forward(self, x: Tensor, features: Features = None) -> Tensor:
        """Score `x`."""
        return self.log_prob(x, features)

    def sample(
        self,
        count: int,
        features: Features = None,
        *,
        sites: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw `(count, T)`, without gradients.

        Arguments:
            count: Number of samples B.
            features: Conditioning of B rows.
            sites: T, where the data does not fix it.
            seed: Makes the samples reproducible.
            temperature: Scales the noise.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define sample.")

    def _sites(self, sites: int | None) -> int:
        if sites is None and self.spec.sites is None:
            raise ValueError(
                f"{type(self).__name__}.sample: this model's values have no fixed length. "
                "Pass sites=..., the number of sites to draw."
            )
        return self.spec.sites if sites is None else sites  # type: ignore[return-value]


def freeze(model: nn.Module) -> nn.Module:
    """Freeze a teacher: no gradient for its weights, evaluation mode; x keeps its graph."""
    return model.requires_grad_(False).eval()
