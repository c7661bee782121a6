"""A flow as a distribution of torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from distill.contract import Features
from distill.models.flow import Flow
from distill.networks.given_features import by_name


class FlowDistribution(Distribution):
    """A flow as `torch.distributions` have it: `rsample`, `sample`, `log_prob` of whole values.

    Its samples have a gradient in the flow's weights. Those of a student come in one parallel pass,
    and `rsample_and_log_prob` gives their exact log-prob without inverting anything.

    Arguments:
        flow: A trained student, say.
        features: Conditioning of B rows, which become the batch shape `(B,)`; `None` has `()`.
        sites: T, where the data does not fix it.

    Errors:
        ValueError: Values without a fixed length, and no `sites`; features without rows.

    Example:
        >>> from distill import DataSpec, iaf
        >>> normal = FlowDistribution(iaf(DataSpec(sites=2), layers=1, hidden=[4]))
        >>> normal.rsample((3,)).shape, normal.log_prob(torch.zeros(5, 2)).shape
        (torch.Size([3, 2]), torch.Size([5]))
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, flow: Flow, features: Features = None, sites: int | None = None) -> None:
        whole: object = flow
        if not isinstance(whole, Flow):
            raise ValueError(
                "FlowDistribution: wanted a Flow, whose samples have a gradient, got "
                f"{type(whole).__name__}."
            )
        self.flow = flow
        given = by_name("FlowDistribution", features, flow.spec.features)
        given = {k: v for k, v in given.items() if v is not None}
        rows = next((value.shape[:1] for value in given.values()), torch.Size())
        if 0 in rows:
            raise ValueError(
                f"FlowDistribution: wanted features of one row or more, got none of "
                f"{', '.join(given)}. Leave out what has no rows."
            )
        self.features = given or None
        length = flow._sites(sites, features)
        super().__init__(rows, torch.Size([length]), validate_args=False)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Draw `sample_shape + (B,) + (T,)`, with a gradient."""
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: Any = ()) -> tuple[Tensor, Tensor]:
        """Draw, and return the samples' exact log-prob too, which is free."""
        shape = self._extended_shape(torch.Size(sample_shape))
        count = shape[:-1].numel()
        noise = self.flow.noise(count, sites=shape[-1])
        draw = self.flow.draw(noise, self._repeated(count))
        return draw.x.reshape(shape), draw.log_prob.sum(-1).reshape(shape[:-1])

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of values `(..., T)`; of an IAF it takes T steps a layer."""
        shape = torch.broadcast_shapes(value.shape, self.batch_shape + self.event_shape)
        x = value.expand(shape).reshape(-1, shape[-1])
        return self.flow.log_prob(x, self._repeated(len(x))).sum(-1).reshape(shape[:-1])

    def _repeated(self, count: int) -> Features:
        """Repeat the rows of features for every sample."""
        if not self.features:
            return None
        times = count // self.batch_shape.numel()
        return {k: v.repeat(times, *[1] * (v.dim() - 1)) for k, v in self.features.items()}
