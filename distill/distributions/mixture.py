"""Output heads that mix several Gaussians or logistics."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.checks import check_number
from distill.distributions.base import Base, Logistic, Normal
from distill.distributions.head import Head, SamplingSpec


class Mixture(Head):
    r"""A mixture of location-scale components, $\log\sum_c \pi_c\,p_c(x)$.

    Raw parameters are the logits, the locations and the log-scales of all components. The locations
    start spread out: equal ones would get equal gradients, and never part.

    Arguments:
        base: Standard distribution of every component.
        components: Their number.
        min_log_scale: Lower bound of every log-scale, in nats.
        log_scale: Log-scales at raw parameters of zero.
        spread: Locations start between minus and plus this.
    """

    noise_per_site = 2

    def __init__(
        self, base: Base, components: int, min_log_scale: float, log_scale: float, spread: float
    ) -> None:
        super().__init__()
        check_number(f"{type(self).__name__}: components", components, low=1, whole=True)
        numbers = {"min_log_scale": min_log_scale, "log_scale": log_scale, "spread": spread}
        for name, number in numbers.items():
            check_number(f"{type(self).__name__}: {name}", number)
        self.base = base
        self.components = components
        self.min_log_scale = min_log_scale
        self.log_scale = log_scale
        self.unit = 0.0  # log of the data's scale, for heads of levels
        self.parameters_per_site = 3 * components
        self.locations = tuple(range(components, 2 * components))
        start = torch.linspace(-spread, spread, components) if components > 1 else torch.zeros(1)
        self.start = nn.Parameter(start)

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"components={self.components}, min_log_scale={self.min_log_scale}"

    def bounded(self, min_log_scale: float) -> Mixture:
        """Return the head with no log-scale below this, in units of the data's scale."""
        lowest = min_log_scale + self.unit
        if lowest <= self.min_log_scale:
            return self
        head = copy.copy(self)
        head.min_log_scale = lowest
        return head

    def parts(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return logits, locations, log-scales, and those before their clip, each `S + (K,)`."""
        logits, loc, log_scale = raw.chunk(3, -1)
        log_scale = log_scale + self.log_scale
        return logits, loc + self.start, log_scale.clamp_min(self.min_log_scale), log_scale

    def component_log_prob(self, distance: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
        """Return each component's log-density of `x` at `distance` x - loc."""
        return self.base.log_prob(distance * (-log_scale).exp()) - log_scale

    def log_prob(self, x: Tensor, raw: Tensor) -> Tensor:
        """Return the log-density of each site, in nats."""
        logits, loc, log_scale, _ = self.parts(raw)
        x = x[..., None]
        each = self.component_log_prob(x - loc, log_scale, x)
        return torch.logsumexp(torch.log_softmax(logits, -1) + each, -1)

    def noise(
        self,
        shape: Sequence[int],
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Draw a uniform number that picks the component, and standard noise of the base."""
        pick = torch.rand((*shape, 1), generator=generator, device=device, dtype=dtype)
        return torch.cat([pick, self.base.sample((*shape, 1), generator, device, dtype)], -1)

    def sample_from(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Pick a component by the inverse distribution function, then scale and move the noise."""
        logits, loc, log_scale, _ = self.parts(raw)
        reached = torch.softmax(logits, -1).cumsum(-1)[..., :-1] <= noise[..., :1]
        pick = reached.sum(-1, keepdim=True)
        loc, log_scale = loc.gather(-1, pick)[..., 0], log_scale.gather(-1, pick)[..., 0]
        return loc + temperature * noise[..., 1] * log_scale.exp()

    def sampling_spec(self) -> SamplingSpec:
        """Return how to sample in a compiled loop."""
        start = self.start.detach().cpu()
        offset = [torch.zeros_like(start), start, torch.full_like(start, self.log_scale)]
        return SamplingSpec("mixture", torch.cat(offset), self.min_log_scale)


class MixtureOfGaussians(Mixture):
    r"""A mixture of `components` Gaussians per site, $\log\sum_c \pi_c\,N(x;\mu_c,e^{2s_c})$.

    Arguments:
        components: Number of Gaussians.
        min_log_scale: Lower bound of every log-scale, in nats.
        log_scale: Log-scales at raw parameters of zero.
        spread: Locations start between minus and plus this; about two standard deviations of data.

    Source: as the base of a MAF, Papamakarios et al., 2017, arXiv 1705.07057 (MAF MoG).

    Example:
        >>> head = MixtureOfGaussians(components=2)
        >>> head.log_prob(torch.zeros(3), torch.zeros(3, 6)).shape
        torch.Size([3])
    """

    def __init__(
        self,
        components: int = 10,
        min_log_scale: float = -7.0,
        log_scale: float = 0.0,
        spread: float = 2.0,
    ) -> None:
        super().__init__(Normal(), components, min_log_scale, log_scale, spread)


class MixtureOfLogistics(Mixture):
    r"""A mixture of logistics per site, continuous or as seen through a quantizer of `bins` levels.

    With bins, levels lie evenly on [-1, 1], and a component's mass of the level at x,
    $\sigma(p) - \sigma(m)$ at the standardized edges p and m, is divided by the level's width, so
    that both forms are densities in the same units. Levels -1 and 1 take the whole tails. The mass
    is $-\mathrm{softplus}(-p) - \mathrm{softplus}(m) + \log(-\mathrm{expm1}(m-p))$ in logarithms,
    exact in float32 and with a gradient however far x lies; x between levels continues it smoothly.

    Arguments:
        components: Number of logistics.
        bins: Levels of the quantizer (65,536 for 16 bits), 0 for a continuous density.
        min_log_scale: Lower bound of every log-scale, in nats.
        log_scale: Log-scales at raw parameters of zero.
        spread: Locations start between minus and plus this; about two standard deviations of data.

    Errors:
        ValueError: No component, or a single bin.

    Source: Salimans et al., PixelCNN++, 2017, arXiv 1701.05517.

    Example:
        >>> head = MixtureOfLogistics(components=2, bins=3)
        >>> levels = torch.tensor([-1.0, 0.0, 1.0])  # one apart: densities are masses
        >>> round(head.log_prob(levels, torch.randn(6)).exp().sum().item(), 4)
        1.0
    """

    def __init__(
        self,
        components: int = 10,
        bins: int = 0,
        min_log_scale: float = -7.0,
        log_scale: float = 0.0,
        spread: float = 2.0,
    ) -> None:
        super().__init__(Logistic(), components, min_log_scale, log_scale, spread)
        least = 0 if bins == 0 else 2
        none = "0 is for none." if least else ""
        check_number("MixtureOfLogistics: bins", bins, low=least, whole=True, remedy=none)
        self.bins = bins

    @property
    def sees_levels(self) -> bool:  # type: ignore[override]
        """Whether it has bins."""
        return self.bins > 0

    def start_at(self, scale: float) -> None:
        """Move the starting log-scales, their bound, and the starting locations."""
        self.unit += math.log(scale)
        self.log_scale += math.log(scale)
        self.min_log_scale += math.log(scale)
        with torch.no_grad():
            self.start.mul_(scale)

    def component_log_prob(self, distance: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
        """Return each component's log-density of `x` at `distance` x - loc."""
        if not self.bins:
            return super().component_log_prob(distance, log_scale, x)
        half = 1 / (self.bins - 1)
        rate = (-log_scale).exp()
        below = -F.softplus(-(distance + half) * rate)
        above = -F.softplus((distance - half) * rate)
        between = below + above + torch.log(-torch.expm1(-2 * half * rate))
        mass = torch.where(x < half - 1, below, torch.where(x > 1 - half, above, between))
        return mass - math.log(2 * half)

    def sample_from(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """Draw likewise; with bins, samples stay in [-1, 1]."""
        x = super().sample_from(raw, noise, temperature)
        return x.clamp(-1, 1) if self.bins else x

    def sampling_spec(self) -> SamplingSpec:
        """Return how to sample in a compiled loop."""
        plain = super().sampling_spec()
        limit = 1.0 if self.bins else float("inf")
        return SamplingSpec(plain.kind, plain.offset, plain.min_log_scale, limit)
