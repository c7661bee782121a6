"""Flow: the one class of MAF teachers and IAF students."""

from __future__ import annotations

from functools import partial
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from distill import rows
from distill.bijectors import Bijector, Chain, Jacobi, Solution, State
from distill.checks import check_number
from distill.contract import Context, DataSpec, Draw, Features
from distill.distributions import Base, Normal
from distill.models.density import Density, core_of
from distill.models.in_rounds import Rounds
from distill.models.random import generator_for


@runtime_checkable
class ChunkedEncoder(Protocol):
    """An encoder that has a state, as `FrameEncoder` does; others encode each chunk by itself."""

    def start(self, features: Features) -> State:
        """Return the state before the first row, given the first frames."""

    def run(self, state: State, features: Features) -> tuple[Context, State]:
        """Encode the next frames; return the state after them too."""


class Flow(Density):
    r"""A base pushed through a bijector, noise to data.

    $$x = f(u; c),\qquad \log q(x) = \log p(u) - \log\lvert\partial f/\partial u\rvert$$

    `draw` needs only the bijector's forward direction, `log_prob` only its inverse. With
    `Autoregressive` layers (IAF) drawing is one parallel pass and scoring a foreign x costs T
    steps; with `Inverse(Autoregressive)` layers (MAF) it is the other way round.

    Arguments:
        bijector: Noise to data.
        spec: What the model knows of its data.
        base: Distribution of the noise: a `Base`, or any density (MAF MoG).
        encoder: Turns raw features into the context that the conditioners read, once per batch.
        outer: A last bijector, which a teacher may share.

    Errors:
        ValueError: A base that is no such thing: a class, say.

    Example:
        >>> from distill.bijectors import Standardize
        >>> flow = Flow(Standardize(loc=[1.0], scale=[2.0]), DataSpec(sites=2))
        >>> draw = flow.draw(torch.zeros(3, 2))
        >>> torch.equal(draw.log_prob, flow.log_prob(draw.x))
        True
    """

    def __init__(
        self,
        bijector: Bijector,
        spec: DataSpec,
        base: Base | Density | None = None,
        encoder: nn.Module | None = None,
        outer: Bijector | None = None,
    ) -> None:
        super().__init__()
        given: object = base
        if not isinstance(given, Base | Density | None):
            name = given.__name__ if isinstance(given, type) else type(given).__name__
            got = f"the class {name}" if isinstance(given, type) else f"a {name}"
            raise ValueError(
                f"base: wanted a Base of distill.distributions, as Logistic(), got {got}. Make an "
                "instance of one, or leave it out for normal noise."
            )
        self.spec = spec
        self.base = base if base is not None else Normal()
        self.encoder = encoder
        self._ends_outside = outer is not None
        if outer is not None:
            inner = list(bijector.layers) if isinstance(bijector, Chain) else [bijector]
            bijector = Chain([*inner, outer], getattr(bijector, "recompute", False))
        self.bijector = bijector

    @property
    def outer(self) -> Bijector | None:  # type: ignore[override]
        """The last bijector, where a teacher may share it."""
        return self._layers[-1] if self._ends_outside else None

    @property
    def core(self) -> Flow:
        """The flow without its outer bijector, of the same modules."""
        if not self._ends_outside:
            return self
        assert isinstance(self.bijector, Chain)
        inner = Chain(self._layers[:-1], self.bijector.recompute)
        inner.training = self.bijector.training
        return core_of(self, Flow(inner, self.spec, self.base, self.encoder))

    @property
    def _layers(self) -> list[Bijector]:
        chain = self.bijector
        return list(chain.layers) if isinstance(chain, Chain) else [chain]  # type: ignore[arg-type]

    def forward(self, noise: Tensor, features: Features | Context = None) -> Draw:  # type: ignore[override]
        """Draw: what training a student calls."""
        return self.draw(noise, features)

    @property
    def locatable(self) -> bool:
        """Whether draws have a `loc` and a `log_scale`: sites in order, affine transforms."""
        return self.bijector.keeps_order and self.bijector.is_affine

    def draw(self, noise: Tensor, features: Features | Context = None) -> Draw:
        """Turn noise `(B, T)` into samples that carry their exact log-density.

        Errors:
            ValueError: Noise that is no tensor, or of more precision than the model.
        """
        noise = self._given_noise(noise)
        x, log_det = self.bijector(noise, self.context(features))
        return Draw(x, noise, log_det, self.base.log_prob(noise) - log_det, self.locatable)

    def _given_noise(self, noise: Tensor) -> Tensor:
        """Return noise in the model's precision where that holds it exactly, as `values` does."""
        given = isinstance(noise, Tensor)
        own = next((p.dtype for p in self.parameters()), noise.dtype if given else torch.float32)
        wider = given and noise.dtype == torch.float64 != own
        if not given or noise.ndim != 2 or noise.is_complex() or wider:
            wanted = str(own).removeprefix("torch.")
            got = f"{noise.dtype} {tuple(noise.shape)}" if given else type(noise).__name__
            raise ValueError(
                f"{type(self).__name__}.draw: wanted noise, a tensor (batch, sites) of {wanted}, "
                f"got {got.removeprefix('torch.')}. Make it by noise(count), or convert either: "
                "noise.float(), or model.double()."
            )
        fits = noise.dtype != own and torch.promote_types(noise.dtype, own) == own
        return noise.to(own) if fits else noise

    def start(self, noise: Tensor, features: Features = None) -> State:
        """Return the state before the first chunk, for `run`: the encoder's, then the bijector's.

        Values with a fixed number of sites are one chunk, and have no state.

        Arguments:
            noise: Gives batch, precision and device only.
            features: The first frames, as many as the encoder looks ahead and one at least;
                labels and vectors whole.

        Errors:
            ValueError: A layer that can't run in chunks, with the remedy.
        """
        if self.spec.sites is not None:
            return ()
        encoder = self.encoder
        before = encoder.start(features) if isinstance(encoder, ChunkedEncoder) else ()
        return (*before, *self.bijector.start(noise))

    def run(self, state: State, noise: Tensor, features: Features = None) -> tuple[Draw, State]:
        """Draw the next chunk: any split of a value into chunks gives the same numbers.

        Arguments:
            state: From `start`, or from the chunk before.
            noise: `(B, F * hop)`.
            features: F frames, ahead of the noise by what `start` took in of them; after the last
                frame, that one again. Labels and vectors in every chunk.
        """
        if self.spec.sites is not None:
            return self.draw(noise, features), ()
        split = len(state) - self.bijector.state_size
        context, before = self.encode(state[:split], features)
        x, log_det, state = self.bijector.run(state[split:], noise, context)
        log_prob = self.base.log_prob(noise) - log_det
        return Draw(x, noise, log_det, log_prob, self.locatable), (*before, *state)

    def encode(self, state: State, features: Features) -> tuple[Context | None, State]:
        """Encode the next chunk's features; return the encoder's state after them too."""
        encoder: object = self.encoder
        if isinstance(encoder, ChunkedEncoder):
            return encoder.run(state, features)
        return self.context(features), state

    def log_prob(self, x: Tensor, features: Features | Context = None) -> Tensor:
        """Return the log-density `(B, T)` of a foreign x, by the inverse of the bijector."""
        u, log_det = self.bijector.inverse(self.values(x), self.context(features))
        return self.base.log_prob(u) + log_det

    @torch.no_grad()
    def sample(
        self,
        count: int,
        features: Features | Context = None,
        *,
        sites: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
        jacobi: Jacobi | None = None,
    ) -> Tensor:
        """Draw `(count, T)`; parallel for an IAF, T steps a layer, or rounds, for a MAF."""
        if jacobi is not None:
            return self.sample_in_rounds(
                count, features, sites=sites, seed=seed, temperature=temperature, jacobi=jacobi
            ).checked()
        self._check_draw(count, temperature)
        noise = self.noise(count, sites=self._sites(sites, features), seed=seed)
        return self.bijector(noise * temperature, self.context(features))[0]

    @torch.no_grad()
    def sample_in_rounds(
        self,
        count: int,
        features: Features | Context = None,
        *,
        sites: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
        jacobi: Jacobi,
    ) -> Rounds:
        """Draw `(count, T)`, the sequential layers by rounds of all sites at once."""
        self._check_draw(count, temperature)
        before: tuple[Solution, ...] = ()
        if isinstance(self.base, Density):
            drawn = self.base.sample_in_rounds(
                count, sites=self._sites(sites, features), seed=seed, jacobi=jacobi
            )
            noise, before = drawn.x, drawn.layers
        else:
            noise = self.noise(count, sites=self._sites(sites, features), seed=seed)
        x, layers = self.bijector.forward_in_rounds(
            noise * temperature, self.context(features), jacobi
        )
        return Rounds(x, (*before, *layers))

    def noise(self, count: int, *, sites: int | None = None, seed: int | None = None) -> Tensor:
        """Draw base noise `(count, T)` on the model's device, in its precision."""
        check_number(f"{type(self).__name__}.noise: count", count, low=0, whole=True)
        like = next(self.parameters(), torch.zeros(()))
        if isinstance(self.base, Density):
            return self.base.sample(count, sites=self._sites(sites), seed=seed)
        sample = partial(self.base.sample, device=like.device, dtype=like.dtype)
        shape, generator = (count, self._sites(sites)), generator_for(like.device, seed)
        if generator is None:
            return rows.drawn(sample, shape, like.device)
        return sample(shape, generator=generator)

    @torch.no_grad()
    def trace(self, noise: Tensor, features: Features | Context = None) -> list[Tensor]:
        """Return the values after each layer, noise first, for layer-by-layer pictures."""
        context = self.context(features)
        if isinstance(self.bijector, Chain):
            return self.bijector.trace(noise, context)
        return [noise, self.bijector(noise, context)[0]]
