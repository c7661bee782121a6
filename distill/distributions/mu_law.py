"""The softmax over mu-law levels of the first WaveNet."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from distill.checks import check_number
from distill.distributions.head import Head, SamplingSpec


class MuLaw(Head):
    r"""A softmax over `bins` levels, finer near zero.

    $$f(x) = \mathrm{sign}(x)\,\frac{\ln(1 + \mu|x|)}{\ln(1 + \mu)},\qquad \mu = \text{bins} - 1$$

    The level of x is the nearest of `bins` even steps of f on [-1, 1]; values beyond are cut off.
    `log_prob` is the log-probability of that level: nats of a discrete distribution, not of a
    density, and without a gradient in x. So a student cannot be distilled from it.

    Arguments:
        bins: Number of levels.

    Source: van den Oord et al., WaveNet, 2016, arXiv 1609.03499.

    Example:
        >>> head = MuLaw(256)
        >>> head.level(torch.tensor([-1.0, 0.1, 1.0])).tolist()
        [0, 203, 255]
        >>> round(head.log_prob(torch.zeros(1), torch.zeros(1, 256)).item(), 4)  # -log 256
        -5.5452
    """

    table: Tensor
    differentiable = False
    sees_levels = True

    def __init__(self, bins: int = 256) -> None:
        super().__init__()
        check_number("MuLaw: bins", bins, low=2, whole=True)
        self.bins = bins
        self.parameters_per_site = bins
        f = torch.linspace(-1, 1, bins, dtype=torch.float64)
        table = f.sign() * torch.expm1(f.abs() * math.log(bins)) / (bins - 1)
        self.register_buffer("table", table.to(torch.get_default_dtype()), persistent=False)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"bins={self.bins}"

    def level(self, x: Tensor) -> Tensor:
        """Return the level of each value, integers below `bins`."""
        f = x.sign() * torch.log1p((self.bins - 1) * x.abs()) / math.log(self.bins)
        return ((f + 1) * 0.5 * (self.bins - 1)).round().long().clamp(0, self.bins - 1)

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """Return the log-probability of each site's level, in nats."""
        level = self.level(x.detach())[..., None]
        log_p = torch.log_softmax(raw, -1).expand(*level.shape[:-1], self.bins)
        # What is no number has no level.
        return torch.where(x.isnan(), math.nan, log_p.gather(-1, level)[..., 0])

    def noise(
        self,
        shape: Sequence[int],
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw uniform noise."""
        return torch.rand((*shape, 1), generator=generator, device=device, dtype=dtype)

    def sample_from(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Pick a level by the inverse distribution function; temperature divides the logits."""
        p = torch.softmax(raw / max(temperature, 1e-4), -1)
        pick = (p.cumsum(-1)[..., :-1] <= noise).sum(-1)
        return self.table[pick]

    def sampling_spec(self) -> SamplingSpec:
        """Return how to sample in a compiled loop."""
        return SamplingSpec("table", torch.zeros(self.bins), table=self.table)
