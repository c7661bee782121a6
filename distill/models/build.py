"""Builders: whole flows from a few settings and a data spec, as the configs name them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from distill.bijectors import (
    ActNorm,
    Affine,
    Autoregressive,
    BatchNorm,
    Bijector,
    Chain,
    Coupling,
    Flip,
    Inverse,
    Permute,
    Shift,
    Transform,
)
from distill.bijectors.coupling import split_sites
from distill.checks import check_number, check_several, permutation
from distill.contract import DataSpec
from distill.distributions import Base, MixtureOfGaussians
from distill.models.autoregressive import AutoregressiveDensity
from distill.models.density import Density
from distill.models.flow import Flow
from distill.models.outer import standardization
from distill.models.recipe import builder
from distill.models.settings import check_factory
from distill.networks import MADE, MLP, VectorEncoder

_NORMS = {"none": None, "batch": BatchNorm, "act": ActNorm}


@builder
def iaf(
    spec: DataSpec,
    layers: int = 5,
    hidden: Sequence[int] = (128, 128),
    transform: Callable[[], Transform] = Affine,
    activation: str = "relu",
    between: str | Sequence[int] = "flip",
    norm: str = "none",
    base: Base | None = None,
    recompute: bool | str = False,
    outer: Callable[[DataSpec], Bijector] | None = None,
) -> Flow:
    """Build an inverse autoregressive flow: draws in parallel, scores its own draws for free.

    Arguments:
        spec: The data's sites, scale and features.
        layers: Number of autoregressive layers.
        hidden: Hidden widths of each layer's MADE.
        transform: Factory of the elementwise transform.
        activation: Of the MADE.
        between: `flip`, `none`, or a permutation of sites, between layers.
        norm: `none`, `batch` or `act`: normalization after each layer.
        base: Distribution of the noise; normal by default.
        recompute: Trade time for memory where a gradient passes: `activations` or `outputs`, see
            `Chain`.
        outer: Factory of the teacher's outer bijector, taking the spec (`standardization`, say):
            it carries values of unit scale to data, in place of a standardization inside. The
            student is then distilled before it.

    Source: Kingma et al., 2016, arXiv 1606.04934.

    Example:
        >>> student = iaf(DataSpec(sites=3), layers=2, hidden=[8])
        >>> student.draw(student.noise(5)).x.shape
        torch.Size([5, 3])
    """
    stack = _stack(spec, layers, hidden, transform, activation, between, norm, backwards=False)
    return _flow(stack, spec, base, _encoder(spec), outer, recompute)


@builder
def maf(
    spec: DataSpec,
    layers: int = 5,
    hidden: Sequence[int] = (128, 128),
    transform: Callable[[], Transform] = Affine,
    activation: str = "relu",
    between: str | Sequence[int] = "flip",
    norm: str = "none",
    base: Base | None = None,
    mixture: int = 0,
    recompute: bool | str = False,
    outer: Callable[[DataSpec], Bijector] | None = None,
) -> Flow:
    """Build a masked autoregressive flow: scores in parallel, samples site after site.

    Arguments:
        spec: The data's sites, scale and features.
        layers: Number of autoregressive layers.
        hidden: Hidden widths of each layer's MADE.
        transform: Factory of the elementwise transform.
        activation: Of the MADE.
        between: `flip`, `none`, or a permutation of sites, between layers.
        norm: `none`, `batch` or `act`: normalization after each layer.
        base: Distribution of the noise; normal by default.
        mixture: Components of a trained autoregressive mixture base (MAF MoG), 0 for none.
        recompute: Trade time for memory where a gradient passes: `activations` or `outputs`, see
            `Chain`.
        outer: Factory of a bijector that students may share, taking the spec (`standardization`,
            say): it carries values of unit scale to data, in place of a standardization inside.

    Errors:
        ValueError: A base and a mixture at once.

    Source: Papamakarios et al., 2017, arXiv 1705.07057.

    Example:
        >>> teacher = maf(DataSpec(sites=3), layers=2, hidden=[8])
        >>> teacher.log_prob(teacher.sample(5)).shape
        torch.Size([5, 3])
    """
    if mixture and base is not None:
        raise ValueError("maf: wanted a base or mixture > 0, got both. Drop one of them.")
    stack = _stack(spec, layers, hidden, transform, activation, between, norm, backwards=True)
    noise: Base | Density | None = base
    if mixture:
        head = MixtureOfGaussians(mixture)
        made = MADE(_fixed_sites(spec), hidden, head.parameters_per_site, activation=activation)
        noise = AutoregressiveDensity(made, head, DataSpec(sites=spec.sites))
    return _flow(stack, spec, noise, _encoder(spec), outer, recompute)


@builder
def coupling_flow(
    spec: DataSpec,
    layers: int = 8,
    hidden: Sequence[int] = (128, 128),
    transform: Callable[[], Transform] = Affine,
    mask: str = "half",
    norm: str = "none",
    base: Base | None = None,
    recompute: bool | str = False,
    outer: Callable[[DataSpec], Bijector] | None = None,
    drawn: bool = False,
) -> Flow:
    """Build a Real-NVP (affine) or NICE (shift) flow: parallel in both directions.

    Arguments:
        spec: The data's sites, scale and features.
        layers: Number of coupling layers; they keep the two parts in turn.
        hidden: Hidden widths of each layer's network.
        transform: Factory of the elementwise transform.
        mask: `half` or `even`.
        norm: `none`, `batch` or `act`.
        base: Distribution of the noise.
        recompute: Trade time for memory where a gradient passes: `activations` or `outputs`, see
            `Chain`.
        outer: Factory of a bijector that teacher and student share, taking the spec
            (`standardization`, say): it carries values of unit scale to data, in place of a
            standardization inside.
        drawn: It is trained by its own draws, as a student, so `norm=batch` normalizes on the way
            from noise to data.

    Source: Dinh et al., 2016, arXiv 1605.08803.

    Example:
        >>> flow = coupling_flow(DataSpec(sites=4), layers=2, hidden=[8])
        >>> flow.log_prob(flow.sample(5)).shape
        torch.Size([5, 4])
    """
    _check_stack(layers, hidden, transform)
    sites, encoder = _fixed_sites(spec), _encoder(spec)
    stack: list[Bijector] = []
    for i in range(layers):
        kept, changed = split_sites(sites, mask, i % 2)
        change = transform()
        inputs = len(kept) + (encoder.channels if encoder else 0)
        network = MLP(inputs, len(changed) * change.parameters_per_site, hidden)
        stack += [Coupling(sites, network, change, mask, i % 2), *_norm(norm, sites, not drawn)]
    return _flow(stack, spec, base, encoder, outer, recompute)


@builder
def nice(
    spec: DataSpec,
    layers: int = 8,
    hidden: Sequence[int] = (128, 128),
    recompute: bool | str = False,
) -> Flow:
    """Build a NICE flow: shifts only, with one trained scale per site at the data's end.

    Arguments:
        spec: The data's sites, scale and features.
        layers: Number of coupling layers.
        hidden: Hidden widths of each layer's network.
        recompute: Trade time for memory where a gradient passes: `activations` or `outputs`, see
            `Chain`.

    Source: Dinh et al., 2014, arXiv 1410.8516.

    Example:
        >>> nice(DataSpec(sites=2), layers=2, hidden=[8]).sample(3).shape
        torch.Size([3, 2])
    """
    flow = coupling_flow(spec, layers, hidden, Shift)
    assert isinstance(flow.bijector, Chain)
    *stack, standardize = cast("list[Bijector]", list(flow.bijector.layers))
    stack += [ActNorm(_fixed_sites(spec)), standardize]
    return Flow(Chain(stack, recompute), spec, None, flow.encoder)


def _stack(
    spec: DataSpec,
    layers: int,
    hidden: Sequence[int],
    transform: Callable[[], Transform],
    activation: str,
    between: str | Sequence[int],
    norm: str,
    backwards: bool,
) -> list[Bijector]:
    _check_stack(layers, hidden, transform)
    sites, encoder = _fixed_sites(spec), _encoder(spec)
    stack: list[Bijector] = []
    for i in range(layers):
        if i:
            stack += _between(between, sites)
        change = transform()
        channels = encoder.channels if encoder else 0
        made = MADE(sites, hidden, change.parameters_per_site, channels, activation=activation)
        layer = Autoregressive(made, change)
        stack += [Inverse(layer) if backwards else layer, *_norm(norm, sites, backwards)]
    return stack


def _flow(
    stack: list[Bijector],
    spec: DataSpec,
    base: Base | Density | None,
    encoder: VectorEncoder | None,
    outer: Callable[[DataSpec], Bijector] | None,
    recompute: bool | str,
) -> Flow:
    """Carry a stack of unit scale to data, by a layer of its own or by the outer bijector."""
    if outer is None:
        return Flow(Chain([*stack, standardization(spec)], recompute), spec, base, encoder)
    check_factory("outer", outer, "standardization")
    return Flow(Chain(stack, recompute), spec, base, encoder, outer(spec))


def _between(between: str | Sequence[int], sites: int) -> list[Bijector]:
    if isinstance(between, str) and between in ("none", "flip"):
        return [Flip()] if between == "flip" else []
    order = permutation(between, sites)
    if order is None:
        raise ValueError(
            f"between: wanted flip, none, or each of 0..{sites - 1} once; got {between!r:.60}."
        )
    return [Permute(order)]


def _check_stack(layers: int, hidden: Sequence[int], transform: Callable[[], Transform]) -> None:
    check_number("layers", layers, low=1, high=1000, whole=True)
    check_several("hidden", hidden)
    check_factory("transform", transform, "Affine")


def _norm(norm: str, sites: int, backwards: bool) -> list[Bijector]:
    if norm not in _NORMS:
        raise ValueError(f"norm: wanted one of {', '.join(_NORMS)}; got {norm!r}.")
    kind = _NORMS[norm]
    if kind is None:
        return []
    return [kind(sites) if backwards else Inverse(kind(sites))]


def _encoder(spec: DataSpec) -> VectorEncoder | None:
    return VectorEncoder(spec) if spec.features else None


def _fixed_sites(spec: DataSpec) -> int:
    if spec.sites is None:
        raise ValueError(
            "This flow has a MADE, whose masks fix the number of sites, and the data's length "
            "varies. Use a WaveNet conditioner, or data with a fixed number of sites."
        )
    return spec.sites


__all__: list[str] = ["coupling_flow", "iaf", "maf", "nice"]
