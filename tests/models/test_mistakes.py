"""Mistakes in building, drawing from and borrowing models are named, with the way out."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import distributions as td

import distill
from distill.bijectors import (
    ActNorm,
    Affine,
    BatchNorm,
    LinearPrediction,
    Permute,
    RationalQuadraticSpline,
    Standardize,
)
from distill.contract import DataSpec, FeatureSpec
from distill.data import Moons
from distill.distributions import GaussianHead, Logistic, MixtureOfGaussians, MixtureOfLogistics
from distill.models import Flow, coupling_flow, iaf, maf, nice, wavenet, wavenet_iaf
from distill.models.outer import standardization
from distill.networks import MADE, MLP, FrameEncoder, WaveNet

FLAT, LONG = DataSpec(2), DataSpec(None)
LABELED = DataSpec(2, features={"side": FeatureSpec("label", 3)})
FRAMED = DataSpec(None, features={"mel": FeatureSpec("frames", 2)}, hop=4)
STACKS = [iaf, maf, coupling_flow]
NORMAL = td.MultivariateNormal(torch.zeros(2), torch.eye(2))
X = torch.zeros(3, 2)


@pytest.mark.parametrize("build", [*STACKS, nice, wavenet, wavenet_iaf])
@pytest.mark.parametrize("given", [Moons(), np.zeros((9, 2)), None])
def test_what_is_no_spec_is_refused_where_a_spec_is_wanted(build, given):
    says = rf"{build.__name__}: wanted a DataSpec first, got {type(given).__name__}\. .*data\.spec"
    for call in (lambda: build(given), lambda: build(spec=given)):
        with pytest.raises(ValueError, match=says):
            call()


def test_a_registered_class_wants_a_spec_too():
    from tests import own_models

    with pytest.raises(ValueError, match="Squeezed: wanted a DataSpec first, got Moons"):
        own_models.Squeezed(Moons())


@pytest.mark.parametrize("build", [*STACKS, nice])
@pytest.mark.parametrize("hidden", [32, "ab"])
def test_widths_that_are_not_a_list_are_refused(build, hidden):
    with pytest.raises(ValueError, match=rf"hidden: wanted a list .* got {hidden!r}"):
        build(FLAT, hidden=hidden)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: MADE(3, hidden=32), r"hidden: wanted a list .* got 32\."),
        (lambda: MLP(3, 2, hidden=32), r"hidden: wanted a list .* got 32\."),
        (lambda: MADE(0, [4]), "MADE: sites: wanted a whole number of 1 or more, got 0"),
        (lambda: MLP(2.0, 2), r"MLP: inputs: .* Write 2\."),
        (lambda: ActNorm(0), "ActNorm: sites: wanted a whole number"),
        (lambda: BatchNorm(2.5), "BatchNorm: sites: wanted a whole number"),
        (lambda: LinearPrediction(2.5), "LinearPrediction: order: wanted a whole number"),
        (lambda: RationalQuadraticSpline(2.5), "bins: wanted a whole number of 2 or more"),
        (lambda: MixtureOfLogistics(bins=2.5), "bins: wanted a whole number of 2 or more"),
        (lambda: MixtureOfGaussians(spread=math.nan), "spread: wanted a number, got nan"),
        (lambda: MixtureOfGaussians(log_scale=None), "log_scale: wanted a number, got None"),
        (lambda: WaveNet(gate_channels=0), "WaveNet.gate_channels: wanted a whole number from 1"),
        (lambda: WaveNet(context_channels=-1), "WaveNet.context_channels: wanted a whole number"),
        (lambda: WaveNet(input_scale=math.nan), "WaveNet.input_scale: wanted a number, got nan"),
        (lambda: Standardize([math.nan], [1.0]), "Standardize: loc: wanted a number, got nan"),
        (lambda: Standardize(0.0, 1.0), "Standardize: loc: wanted a list of numbers"),
    ],
)
def test_sizes_and_numbers_of_parts_are_checked_where_they_are_made(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("order", [[False, True], [0.0, 1.0], "ab", [0, 2], 1])
def test_what_only_compares_like_an_order_of_sites_is_refused(order):
    # Truth values picked sites out instead of reordering them.
    for build in (Permute, partial(MADE, 2, [4], order=order), partial(maf, FLAT, between=order)):
        with pytest.raises(ValueError, match=r"each of 0"):
            build(order) if build is Permute else build()


@pytest.mark.parametrize("order", [(1, 0), np.array([1, 0]), torch.tensor([1, 0])])
def test_an_order_of_sites_may_be_an_array(order):
    assert Permute(order)(torch.tensor([[1.0, 2.0]]))[0].tolist() == [[2.0, 1.0]]
    assert MADE(2, [4], order=order).order == [1, 0]


@pytest.mark.parametrize("build", STACKS)
@pytest.mark.parametrize(
    ("transform", "got"), [("spline", "'spline'"), (Affine(), "an instance of Affine")]
)
def test_a_transform_that_is_no_factory_is_refused(build, transform, got):
    with pytest.raises(ValueError, match=f"transform: wanted a class, as Affine, .* got {got}"):
        build(FLAT, hidden=[4], transform=transform)
    build(FLAT, layers=1, hidden=[4], transform=partial(RationalQuadraticSpline, bins=3))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: wavenet(LONG, head=GaussianHead()), "head: wanted a class, as GaussianHead"),
        (lambda: wavenet(LONG, outer=standardization(FLAT)), "outer: wanted a class"),
        (lambda: wavenet_iaf(LONG, outer="white"), "outer: wanted a class.*'white'"),
        (lambda: iaf(FLAT, outer=standardization(FLAT)), "outer: wanted a class"),
        (lambda: wavenet(FRAMED, encoder=FrameEncoder(FRAMED)), "encoder: wanted a class"),
        (lambda: wavenet_iaf(LONG, flows=3), "flows: wanted a list of whole numbers.*got 3"),
        (lambda: wavenet_iaf(LONG, cycle=0), "cycle: wanted a whole number of 1 or more, got 0"),
    ],
)
def test_settings_of_another_kind_are_refused_by_name(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize(
    "build", [*(partial(build, FLAT, hidden=[4]) for build in STACKS), partial(wavenet_iaf, LONG)]
)
@pytest.mark.parametrize(
    ("base", "got"), [(Logistic, "the class Logistic"), (td.Normal(0.0, 1.0), "a Normal")]
)
def test_a_base_that_is_no_base_is_refused(build, base, got):
    with pytest.raises(ValueError, match=rf"base: wanted a Base .* Logistic\(\), got {got}"):
        build(base=base)
    assert isinstance(build(base=Logistic()).base, Logistic)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: DataSpec(sites=0), "DataSpec.sites: wanted a whole number of 1 or more, got 0"),
        (lambda: DataSpec(None, hop=0), "DataSpec.hop: wanted a whole number"),
        (lambda: FeatureSpec("lable", 3), "FeatureSpec.kind: wanted one of .*label, got 'lable'"),
        (lambda: FeatureSpec("label", 0), "FeatureSpec.size: wanted a whole number of 1 or more"),
    ],
)
def test_a_spec_of_nothing_is_refused_where_it_is_written(call, says):
    with pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize(
    ("noise", "got"),
    [
        (X.double(), r"float64 \(3, 2\)"),
        (X + 1j, r"complex64 \(3, 2\)"),
        (X.numpy(), "ndarray"),
        (X.tolist(), "list"),
        (X[0], r"float32 \(2,\)"),
    ],
)
def test_noise_that_a_model_cannot_draw_from_is_refused(noise, got):
    for flow in (iaf(FLAT, 1, [4]), coupling_flow(FLAT, 2, [4])):
        with pytest.raises(ValueError, match=rf"Flow\.draw: wanted noise, .*float32, got {got}\."):
            flow.draw(noise)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.int64])
def test_noise_of_less_precision_is_drawn_from_in_the_models(dtype):
    flow = iaf(FLAT, 1, [4]).double()
    draw = flow.draw((X + 2).to(dtype))
    assert draw.noise.dtype == draw.x.dtype == torch.float64
    assert torch.equal(draw.x, flow.draw(X.double() + 2).x)


@pytest.mark.parametrize("build", STACKS)
def test_features_of_other_rows_than_the_noise_are_refused(build):
    flow = build(LABELED, hidden=[4])
    with pytest.raises(ValueError, match=r"wanted context rows of shape \(3, "):
        flow.draw(X, {"side": torch.tensor([0, 1])})


@pytest.mark.parametrize(
    ("features", "says"),
    [
        (None, "wanted the feature 'side', got none"),
        ({"hand": X}, "wanted the feature 'side', got hand"),
        (torch.tensor([0, 1, 2]), "features by name, as {'side': ...}, got Tensor"),
    ],
)
def test_a_feature_that_another_librarys_density_lacks_is_named(features, says):
    teacher = distill.ForeignDensity(lambda side: NORMAL, LABELED)
    assert teacher.log_prob(X, {"side": torch.tensor([0, 1, 2])}).shape == (3, 2)
    for call in (lambda: teacher.log_prob(X, features), lambda: teacher.sample(3, features)):
        with pytest.raises(ValueError, match=f"ForeignDensity: .*{says}"):
            call()


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_a_distribution_of_torch_is_the_same_for_all_features(names):
    spec = DataSpec(2, features={name: FeatureSpec("label", 3) for name in names})
    teacher = distill.ForeignDensity(NORMAL, spec)
    log_prob = teacher.log_prob(X, {name: torch.tensor([0, 1, 2]) for name in names})
    torch.testing.assert_close(log_prob.sum(1), NORMAL.log_prob(X))
    assert teacher.sample(3, {name: torch.tensor([0, 1, 2]) for name in names}).shape == (3, 2)


TRAINED = torch.zeros(2, requires_grad=True)
INDEPENDENT = td.Independent(td.Normal(torch.zeros(2), 1.0), 1)


@pytest.mark.parametrize(
    ("trained", "name"),
    [
        (td.MultivariateNormal(TRAINED, torch.eye(2)), "loc"),
        (td.Independent(td.Normal(torch.zeros(2), TRAINED.exp()), 1), "scale"),
        (td.TransformedDistribution(INDEPENDENT, [td.AffineTransform(TRAINED, 1.0)]), "loc"),
        (
            td.MixtureSameFamily(
                td.Categorical(logits=TRAINED), td.Independent(td.Normal(X[:2], 1.0), 1)
            ),
            "logits",
        ),
    ],
)
def test_a_distribution_of_torch_that_is_still_trained_is_refused_by_name(trained, name):
    with pytest.raises(ValueError, match=rf"{type(trained).__name__} that.* {name}.*detached"):
        distill.ForeignDensity(trained, FLAT)
    fixed = td.TransformedDistribution(INDEPENDENT, [td.AffineTransform(TRAINED.detach(), 1.0)])
    assert distill.ForeignDensity(fixed, FLAT).log_prob(X).shape == (3, 2)


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ({"side": torch.zeros(0, dtype=torch.long)}, "of one row or more, got none of side"),
        (torch.tensor([0, 1]), "features by name"),
    ],
)
def test_a_distribution_wants_features_by_name_with_rows(features, says):
    flow: Flow = iaf(LABELED, 1, [4])
    with pytest.raises(ValueError, match=f"FlowDistribution: wanted .*{says}"):
        distill.FlowDistribution(flow, features)


@pytest.mark.parametrize("sites", [0, -1, 2.5, True, 5])
def test_sites_that_a_model_cannot_draw_are_refused(sites):
    # A WaveNet drew 5 sites of data that has 3.
    for build in (wavenet, wavenet_iaf):
        model = build(DataSpec(3), channels=4)
        with pytest.raises(ValueError, match=r"\.sample: .*sites"):
            model.sample(2, sites=sites)
    with pytest.raises(ValueError, match=r"\.sample: .*sites"):
        model.noise(2, sites=sites)


@pytest.mark.parametrize("count", [-1, 2.0])
def test_noise_of_no_number_of_rows_is_refused(count):
    with pytest.raises(ValueError, match="noise: count: wanted a whole number"):
        iaf(FLAT, 1, [4]).noise(count)


@pytest.mark.parametrize("build", [maf, wavenet])
def test_no_samples_at_all_can_be_drawn_by_rounds_too(build):
    model = build(DataSpec(3), layers=2)
    assert model.sample(0, jacobi=distill.Jacobi()).shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: distill.ForeignDensity(NORMAL, FLAT).sample(-1), "count: wanted a whole number"),
        (lambda: distill.ForeignDensity(NORMAL, FLAT).sample(3, sites=7), "wanted the 2 sites"),
        (lambda: distill.ForeignDensity(NORMAL, DataSpec(3)).sample(4), r"\(4, 3\).*got \(4, 2\)"),
        (lambda: distill.ForeignDensity(NORMAL, FLAT).log_prob(torch.zeros(4, 3)), r"\(batch, 2\)"),
        (lambda: distill.ForeignDensity(NORMAL, FLAT).sample(3, {"side": X}), "wanted no features"),
        (
            lambda: distill.ForeignDensity(lambda side: NORMAL, LABELED).sample(
                5, {"side": torch.tensor([0, 1, 2])}
            ),
            r"'side' for each of 5 values, a tensor, got \(3,\)",
        ),
    ],
)
def test_another_librarys_density_gives_what_it_was_asked_for_or_says_so(call, says):
    # Five samples of three rows of features were three.
    with pytest.raises(ValueError, match=rf"ForeignDensity.*{says}"):
        call()
    teacher = distill.ForeignDensity(lambda side: NORMAL, LABELED)
    assert teacher.sample(3, {"side": torch.tensor([0, 1, 2])}).shape == (3, 2)


def test_a_distribution_is_of_a_flow_and_may_be_given_no_feature():
    with pytest.raises(ValueError, match=r"FlowDistribution: wanted a Flow, .* got Autoreg"):
        distill.FlowDistribution(wavenet(FLAT, layers=1))
    with pytest.raises(ValueError, match=r"feature 'side' wanted shape .* got none"):
        distill.FlowDistribution(iaf(LABELED, 1, [4]), {"side": None}).rsample()
