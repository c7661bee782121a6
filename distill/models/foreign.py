"""Densities of other libraries as teachers."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Transform

from distill.bijectors import Jacobi
from distill.checks import check_seed
from distill.contract import Context, DataSpec, Features
from distill.models.density import Density
from distill.networks.given_features import by_name


class ForeignDensity(Density):
    r"""A density of another library, whose log-prob is one number a value.

    It serves as a teacher for objectives that compare whole values (`ReverseKL`, `ForwardKL`,
    `JensenShannon`): its log-prob is spread evenly over sites, $\log p(x) / T$ at each, and only
    the sum is its own.

    Arguments:
        density: With `log_prob(x)` or `log_prob(x, context)` that has a gradient in x, as nflows,
            normflows and `torch.distributions` have it; or a call that returns such a distribution,
            `density()` or `density(context)`, as zuko has it.
        spec: What the data is. A feature, of which it takes one, is handed over as the context; a
            `torch.distributions.Distribution` takes none, and is the same for all of them.

    Errors:
        ValueError: Something without a log-prob; a distribution of torch whose tensors require a
            gradient, which nothing could freeze; more than one feature, or one that is missing or
            of other rows; a log-prob of another shape than `(B,)`, samples than `(B, T)`.

    Example:
        >>> normal = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
        >>> teacher = ForeignDensity(normal, DataSpec(sites=2))
        >>> round(float(teacher.log_prob(torch.zeros(1, 2)).sum()), 4)
        -1.8379
    """

    def __init__(self, density: Any, spec: DataSpec) -> None:
        super().__init__()
        if isinstance(density, type) or not (hasattr(density, "log_prob") or callable(density)):
            got = f"the class {density.__name__}" if isinstance(density, type) else ""
            raise ValueError(
                "ForeignDensity: wanted a density with log_prob, got "
                f"{got or type(density).__name__}. Make one, or wrap it in an object that has one."
            )
        if not hasattr(density, "log_prob"):
            _check_call(density, len(spec.features))
        trained = _trained(density)
        if trained:
            raise ValueError(
                f"ForeignDensity: wanted a {type(density).__name__} that is fixed, got one with a "
                f"gradient for {', '.join(trained)}. Build it from detached tensors."
            )
        if len(spec.features) > 1 and not isinstance(density, Distribution):
            raise ValueError(
                "ForeignDensity: wanted at most one feature, which becomes the context, got "
                f"{', '.join(spec.features)}. Put them into one."
            )
        self.spec = spec
        self.encoder = None
        self.outer = None
        self.density = density

    def log_prob(self, x: Tensor, features: Features | Context = None) -> Tensor:
        """Return the log-density `(B, T)`, the same at every site of a value."""
        x = self.values(x)
        given = self._given(features, len(x))
        density = self.density if hasattr(self.density, "log_prob") else self._distribution(given)
        if isinstance(density, Distribution):
            _check_support(density, x)
        value = density.log_prob(x, *(given if density is self.density else ()))
        if not isinstance(value, Tensor) or value.shape != x.shape[:1]:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(
                f"ForeignDensity: wanted a log-prob of shape {tuple(x.shape[:1])}, one number a "
                f"value, a tensor, got {got}. Wrap independent sites in "
                "torch.distributions.Independent."
            )
        if x.requires_grad and torch.is_grad_enabled() and not value.requires_grad:
            raise ValueError(
                f"ForeignDensity: wanted a log-prob with a gradient in x, got one of a "
                f"{type(density).__name__} without. Compute it by torch alone, without no_grad and "
                "detach."
            )
        return (value / x.shape[1])[:, None].expand_as(x)

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
        """Draw `(count, T)` by the library's own sampler."""
        if temperature != 1 or jacobi is not None:
            raise ValueError(
                f"ForeignDensity: wanted temperature 1 and no jacobi, got {temperature} and "
                f"{jacobi}: another library's noise and layers can't be reached."
            )
        self._check_draw(count, temperature)
        wanted = (count, self._sites(sites, features))
        given = self._given(features, count)
        x = self._drawn(count, given, seed)
        x = x[0] if isinstance(x, tuple) else x  # normflows gives their log-prob too
        if not isinstance(x, Tensor) or x.shape != wanted:
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"ForeignDensity: wanted samples of shape {wanted}, a tensor, from a "
                f"{type(self.density).__name__}, got {got}. Wrap it in an object whose "
                "sample gives that, and independent sites in torch.distributions.Independent."
            )
        return x

    def _drawn(self, count: int, given: tuple[Tensor, ...], seed: int | None) -> Any:
        if hasattr(self.density, "log_prob") and not hasattr(self.density, "sample"):
            raise ValueError(
                f"ForeignDensity: wanted samples of the teacher, got a "
                f"{type(self.density).__name__} without sample. Give it one, or take an objective "
                "that draws from the student alone, as reverse_kl."
            )
        with torch.random.fork_rng(enabled=seed is not None):
            if seed is not None:
                check_seed(seed)
                torch.manual_seed(seed)
            if isinstance(self.density, Distribution):
                return self.density.sample((count,))
            if not hasattr(self.density, "log_prob"):
                found = self._distribution(given)
                each = bool(given) and getattr(found, "batch_shape", None) != ()
                return found.sample(() if each else (count,))
            if given:
                return self.density.sample(1, *given).flatten(0, 1)
            return self.density.sample(count)

    def _distribution(self, given: tuple[Tensor, ...]) -> Any:
        found = self.density(*given)
        if not hasattr(found, "log_prob"):
            raise ValueError(
                f"ForeignDensity: {type(self.density).__name__} returned a {type(found).__name__}, "
                "wanted a distribution with log_prob."
            )
        return found

    def _given(self, features: Features | Context, rows: int) -> tuple[Tensor, ...]:
        self.context(features)  # refuses features where the data has none
        no_context = isinstance(features, Context) or not self.spec.features
        if no_context or isinstance(self.density, Distribution):
            return ()
        (name,) = self.spec.features
        found = by_name("ForeignDensity", features, self.spec.features)
        if found.get(name) is None:
            raise ValueError(
                f"ForeignDensity: wanted the feature {name!r}, got {', '.join(found) or 'none'}. "
                "Pass it as features={name: tensor}."
            )
        given = found[name]
        if not isinstance(given, Tensor) or given.shape[:1] != (rows,):
            got = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(
                f"ForeignDensity: wanted the feature {name!r} for each of {rows} values, a tensor, "
                f"got {got}. Pass as many rows as values."
            )
        return (given,)


def _trained(part: Any) -> list[str]:
    """Return the tensors of a distribution of torch, and of those inside, that are not fixed."""
    if isinstance(part, list | tuple):
        return [name for each in part for name in _trained(each)]
    if not isinstance(part, Distribution | Transform):
        return []
    held = {name.removeprefix("_"): value for name, value in vars(part).items()}
    own = [k for k, v in held.items() if isinstance(v, Tensor) and v.requires_grad]
    return own or [name for value in held.values() for name in _trained(value)]


def _check_call(density: Any, given: int) -> None:
    """Raise unless a call that is to return a distribution takes the features, one or none."""
    try:
        signature = inspect.signature(density)
    except ValueError:  # built in, it may not say
        return
    try:
        signature.bind(*[None] * given)
    except TypeError:
        name = getattr(density, "__name__", type(density).__name__)
        raise ValueError(
            f"ForeignDensity: wanted a density with log_prob, or a call {name}"
            f"({'context' if given else ''}) that returns one, got {name}"
            f"({', '.join(signature.parameters):.40}). Make the model first, or wrap it in an "
            "object that has log_prob."
        ) from None


def _check_support(density: Distribution, x: Tensor) -> None:
    """Raise unless a distribution is one of such values; it doesn't ask where others told it so."""
    one = density.batch_shape + density.event_shape
    if one[-1:] not in (x.shape[-1:], (1,), ()):
        got = f"values of shape {tuple(one)}"
    elif not _is_inside(density, x):
        got = f"values outside of its support, {density.support}"
    else:
        return
    raise ValueError(
        f"ForeignDensity: wanted a density of all real values of shape {tuple(x.shape)}, got a "
        f"{type(density).__name__} with {got}. A teacher of bounded values serves forward_kl "
        "alone, by its own samples."
    )


def _is_inside(density: Distribution, x: Tensor) -> bool:
    try:
        support = density.support
    except NotImplementedError:
        support = None
    return support is None or bool(support.check(x).all())  # not all say


def as_density(density: Any, spec: DataSpec) -> Density:
    """Return a density of ours as it is, and another library's as a `ForeignDensity`."""
    return density if isinstance(density, Density) else ForeignDensity(density, spec)
