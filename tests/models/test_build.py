"""Builders: what they build, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from distill.bijectors import (
    ActNorm,
    Autoregressive,
    BatchNorm,
    Flip,
    Inverse,
    Permute,
    Standardize,
)
from distill.contract import DataSpec, FeatureSpec
from distill.distributions import Normal
from distill.models import AutoregressiveDensity, coupling_flow, iaf, maf, nice

SPEC = DataSpec(sites=3, loc=(5.0, 6.0, 7.0), scale=(0.1, 1.0, 10.0))
BUILDERS = [iaf, maf, coupling_flow, nice]


@pytest.mark.parametrize("build", BUILDERS)
def test_an_untrained_flow_is_the_base_in_data_units(build):
    torch.manual_seed(0)
    flow = build(SPEC, hidden=[8]).double()
    # Flips move sites, so the count of layers is even in sum: look at scale and place only.
    x = flow.sample(20_000, seed=0)
    loc, scale = torch.tensor(SPEC.loc).double(), torch.tensor(SPEC.scale).double()
    standard = (x - loc) / scale
    torch.testing.assert_close(standard.mean(0), torch.zeros(3).double(), rtol=0, atol=0.03)
    torch.testing.assert_close(standard.std(0), torch.ones(3).double(), rtol=0, atol=0.03)


def test_layers_do_not_share_their_conditioners():
    layers = [m for m in iaf(SPEC, 4, [8]).modules() if isinstance(m, Autoregressive)]
    assert len({id(layer.conditioner) for layer in layers}) == 4
    assert len({id(layer.transform) for layer in layers}) == 4


@pytest.mark.parametrize(
    ("between", "norm", "kinds"),
    [
        ("none", "none", [Autoregressive, Autoregressive, Standardize]),
        ("flip", "none", [Autoregressive, Flip, Autoregressive, Standardize]),
        ([1, 2, 0], "none", [Autoregressive, Permute, Autoregressive, Standardize]),
        (
            "none",
            "batch",
            [Autoregressive, Inverse, Autoregressive, Inverse, Standardize],
        ),
    ],
)
def test_layers_stand_in_the_order_that_was_asked_for(between, norm, kinds):
    flow = iaf(SPEC, 2, [8], between=between, norm=norm)
    assert [type(layer) for layer in flow.bijector.layers] == kinds


@pytest.mark.parametrize(("norm", "kind"), [("batch", BatchNorm), ("act", ActNorm)])
def test_a_teacher_normalizes_from_data_to_noise_and_a_student_the_other_way(norm, kind):
    teacher, student = maf(SPEC, 1, [8], norm=norm), iaf(SPEC, 1, [8], norm=norm)
    assert isinstance(teacher.bijector.layers[1], kind)
    assert isinstance(student.bijector.layers[1], Inverse)
    assert isinstance(student.bijector.layers[1].bijector, kind)


def test_a_flow_in_natural_order_is_locatable_and_a_flipped_one_is_not():
    assert iaf(SPEC, 3, [8], between="none").locatable
    assert not iaf(SPEC, 3, [8]).locatable


def test_a_mixture_base_is_trained():
    teacher = maf(SPEC, 1, [8], mixture=2)
    assert isinstance(teacher.base, AutoregressiveDensity)
    teacher.log_prob(torch.randn(4, 3)).sum().backward()
    for name, parameter in teacher.base.named_parameters():
        assert parameter.grad is not None, name


def test_base_and_mixture_at_once_are_refused():
    with pytest.raises(ValueError, match="got both"):
        maf(SPEC, base=Normal(), mixture=2)


@pytest.mark.parametrize("build", [iaf, maf, coupling_flow])
def test_an_unknown_norm_is_refused_with_the_known_ones(build):
    with pytest.raises(ValueError, match="none, batch, act"):
        build(SPEC, hidden=[8], norm="layer")


@pytest.mark.parametrize("build", BUILDERS)
def test_data_of_varying_length_is_refused_with_the_remedy(build):
    with pytest.raises(ValueError, match="WaveNet"):
        build(DataSpec(sites=None))


@pytest.mark.parametrize("between", ["flop", [0, 0, 1], [0, 1]])
def test_a_bad_permutation_is_refused(between):
    with pytest.raises(ValueError, match=r"flip, none, or each of 0\.\.2 once"):
        iaf(SPEC, 2, [8], between=between)


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("layers", [0, -1])
def test_a_flow_without_layers_is_refused(build, layers):
    with pytest.raises(ValueError, match="layers"):
        build(SPEC, layers=layers)


@pytest.mark.parametrize("build", BUILDERS)
def test_missing_features_are_refused_by_name(build):
    flow = build(DataSpec(sites=3, features={"digit": FeatureSpec("label", 2)}), hidden=[8])
    with pytest.raises(ValueError, match="digit"):
        flow.sample(2)
    with pytest.raises(ValueError, match="digit"):
        flow.log_prob(torch.zeros(2, 3), {"speaker": torch.zeros(2)})
