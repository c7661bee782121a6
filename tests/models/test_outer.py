"""Models that end in an outer bijector: a core, and what carries its values to data."""

from __future__ import annotations

import copy

import pytest
import torch

from distill.bijectors import Autoregressive, Chain, Flip, Inverse, Standardize
from distill.contract import DataSpec, FeatureSpec
from distill.distributions import MixtureOfLogistics
from distill.instantiate import build
from distill.models import (
    Flow,
    coupling_flow,
    iaf,
    maf,
    standardization,
    wavenet,
    wavenet_iaf,
)
from distill.networks import MADE
from distill.training.ema import EMA
from tests.randomized import randomized
from tests.whitened import SIGNAL, SOUND
from tests.whitened import WHITE as OUTER_OF_SOUND

SPEC = DataSpec(sites=3, loc=(5.0, -6.0, 7.0), scale=(0.1, 1.0, 10.0))
LABELED = DataSpec(3, SPEC.loc, SPEC.scale, {"digit": FeatureSpec("label", 4)})
OUTER = {"outer": standardization}
SMALL = {"channels": 4, **OUTER}
WHITE = {"channels": 4, **OUTER_OF_SOUND}

FLOWS = {
    "iaf": lambda: iaf(SPEC, 2, [8], **OUTER),
    "iaf (labels, batch norm)": lambda: iaf(LABELED, 2, [8], norm="batch", **OUTER),
    "maf": lambda: maf(SPEC, 2, [8], **OUTER),
    "maf (mixture)": lambda: maf(SPEC, 2, [8], mixture=2, **OUTER),
    "coupling_flow": lambda: coupling_flow(LABELED, 2, [8], **OUTER),
    "not a chain": lambda: Flow(Autoregressive(MADE(3, [8])), SPEC, outer=standardization(SPEC)),
    "wavenet_iaf": lambda: wavenet_iaf(SIGNAL, [2, 2], block=2, last_scale=1.0, **SMALL),
    "wavenet_iaf (whitened)": lambda: wavenet_iaf(SOUND, [2, 2], last_scale=1.0, **WHITE),
}
TEACHERS = {
    "wavenet": lambda: wavenet(SIGNAL, layers=2, block=2, **SMALL),
    "wavenet (whitened)": lambda: wavenet(SOUND, layers=2, block=2, **WHITE),
    "wavenet (mixture)": lambda: wavenet(SIGNAL, MixtureOfLogistics, layers=2, **SMALL),
}
MODELS = FLOWS | TEACHERS


def features_of(model):
    mel = torch.linspace(-1, 1, 36, dtype=torch.float64).reshape(4, 3, 3)
    made = {"digit": torch.tensor([0, 3, 1, 2]), "mel": mel}
    return {name: made[name] for name in model.spec.features} or None


def data_of(model):
    """Return four values of the data's location and scale."""
    sites = model.spec.sites or 12
    e = torch.randn(4, sites, dtype=torch.float64)
    return e * torch.tensor(model.spec.scale).double() + torch.tensor(model.spec.loc).double()


@pytest.fixture(params=MODELS, name="build_model")
def _build_model(request):
    return MODELS[request.param]


@pytest.fixture(name="model")
def _model(build_model):
    return randomized(build_model().double().eval())


@pytest.fixture(params=FLOWS, name="flow")
def _flow(request) -> Flow:
    return randomized(FLOWS[request.param]().double().eval())


def test_log_prob_is_that_of_the_core_plus_the_log_det(model):
    x, features = data_of(model), features_of(model)
    e, log_det = model.inward(x, model.context(features))
    whole, core = model.log_prob(x, features), model.core.log_prob(e, features)
    torch.testing.assert_close(whole, core + log_det, rtol=0, atol=1e-10)


def test_outward_undoes_inward(model):
    x, context = data_of(model), model.context(features_of(model))
    again = model.outward(model.inward(x, context)[0], context)
    torch.testing.assert_close(again, x, rtol=0, atol=1e-10)


def test_a_sample_is_that_of_the_core_taken_outward(model):
    features, sites = features_of(model), model.spec.sites or 12
    x = model.sample(4, features, sites=sites, seed=3, temperature=0.8)
    e = model.core.sample(4, features, sites=sites, seed=3, temperature=0.8)
    torch.testing.assert_close(x, model.outward(e, model.context(features)), rtol=0, atol=1e-10)
    assert not torch.equal(x, e)


def test_a_draw_of_the_whole_scores_exactly_by_inverse(flow):
    features = features_of(flow)
    noise = flow.noise(4, sites=flow.spec.sites or 12, seed=0)
    draw, inner = flow.draw(noise, features), flow.core.draw(noise, features)
    log_prob = flow.log_prob(draw.x, features)
    # A layer that mixes sites has its log-det for the value as a whole.
    torch.testing.assert_close(draw.log_prob.sum(1), log_prob.sum(1), rtol=0, atol=1e-9)
    e, log_det = flow.inward(draw.x, flow.context(features))
    torch.testing.assert_close(inner.x, e, rtol=0, atol=1e-9)
    torch.testing.assert_close(draw.log_prob, inner.log_prob + log_det, rtol=0, atol=1e-9)
    assert flow.locatable == flow.core.locatable == draw.locatable


def test_a_core_knows_its_whole_and_holds_the_same_modules(model):
    core = model.core
    assert core.whole is model
    assert model.whole is model
    assert core.outer is None
    assert core.core is core
    assert type(core) is type(model)
    assert {id(p) for p in core.parameters()} == {id(p) for p in model.parameters()}
    assert "_whole" not in core._modules


def test_a_core_is_in_the_mode_of_its_model(model):
    for mode in (False, True):
        model.train(mode)
        assert model.core.training is mode
        if isinstance(model, Flow):
            assert model.core.bijector.training is mode


def test_standardized_values_have_the_data_taken_out():
    model = FLOWS["maf"]()
    x, scale = data_of(model).float(), torch.tensor(SPEC.scale)
    e, log_det = model.inward(x, None)
    torch.testing.assert_close(e, (x - torch.tensor(SPEC.loc)) / scale)
    torch.testing.assert_close(log_det, -scale.log().expand_as(x))


def test_without_an_outer_bijector_a_model_is_its_own_core():
    for model in (iaf(SPEC, 1, [4]), wavenet(SIGNAL, layers=1, channels=4)):
        assert model.core is model.whole is model
        x = torch.randn(2, 3)
        value, log_det = model.inward(x, None)
        assert value is x
        assert not log_det.any()
        assert model.outward(x, None) is x


def test_saved_weights_give_the_same_density_and_the_same_core(build_model, model):
    x, features = data_of(model), features_of(model)
    other = randomized(build_model().double().eval())
    assert not torch.equal(other.log_prob(x, features), model.log_prob(x, features))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.log_prob(x, features), model.log_prob(x, features))
    e = model.inward(x, model.context(features))[0]
    assert torch.equal(other.core.log_prob(e, features), model.core.log_prob(e, features))


def test_averages_of_weights_have_a_core_and_a_whole_of_their_own(model):
    x, features = data_of(model), features_of(model)
    average = EMA(model, decay=0.0)
    randomized(model, 0.05)
    assert average.model.core.whole is average.model
    assert not torch.equal(average.model.log_prob(x, features), model.log_prob(x, features))
    average.update()
    mine, wanted = (which.log_prob(x, features) for which in (average.model, model))
    # A graph may have the product computed in another order.
    torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-12)


def test_a_copied_core_has_a_copied_whole(model):
    core = copy.deepcopy(model.core)
    assert core.whole is not model
    assert {id(p) for p in core.whole.parameters()} == {id(p) for p in core.parameters()}
    x, features = data_of(model), features_of(model)
    assert torch.equal(core.whole.log_prob(x, features), model.log_prob(x, features))


@pytest.mark.parametrize("kind", [iaf, maf, coupling_flow])
def test_an_outer_standardization_stands_for_the_one_inside(kind):
    torch.manual_seed(0)
    inside = kind(SPEC, 2, [8])
    torch.manual_seed(0)
    outside = kind(SPEC, 2, [8], **OUTER)
    assert sum(isinstance(m, Standardize) for m in outside.modules()) == 1
    assert not any(isinstance(m, Standardize) for m in outside.core.bijector.modules())
    x = data_of(inside).float()
    torch.testing.assert_close(outside.log_prob(x), inside.log_prob(x))
    assert torch.equal(outside.sample(4, seed=1), inside.sample(4, seed=1))
    assert outside.core.sample(5000, seed=1).std().item() == pytest.approx(1, rel=0.05)


def test_a_config_names_the_outer_bijector_by_its_factory():
    config = {
        "_target_": "distill.models.iaf",
        "hidden": [8],
        "outer": {"_target_": "distill.models.standardization", "_partial_": True},
    }
    model = build(config, spec=SPEC)
    assert isinstance(model.outer, Standardize)
    assert model.outer.scale.tolist() == pytest.approx(SPEC.scale)


def test_layers_are_traced_through_the_outer_bijector():
    flow = randomized(iaf(SPEC, 2, [8], **OUTER).double().eval())
    trace = flow.trace(flow.noise(4, seed=0))
    assert torch.equal(trace[-1], flow.sample(4, seed=0))
    assert torch.equal(trace[-2], flow.core.sample(4, seed=0))


def test_an_outer_bijector_that_mixes_sites_is_no_longer_locatable():
    inner = Chain([Autoregressive(MADE(3, [8]))])
    flow = Flow(inner, SPEC, outer=Chain([Flip(), standardization(SPEC)]))
    assert flow.core.locatable
    assert not flow.locatable
    draw = flow.draw(flow.noise(4))
    torch.testing.assert_close(draw.log_prob.sum(1), flow.log_prob(draw.x).sum(1))


def test_the_conditional_of_a_signal_is_refused_with_the_way_out():
    teacher = randomized(wavenet(SIGNAL, layers=2, **SMALL).double().eval())
    x = data_of(teacher)
    with pytest.raises(ValueError, match=r"before the outer Standardize\. Ask `model.core`"):
        teacher.conditional(x)
    e, log_det = teacher.inward(x, None)
    conditional = teacher.core.conditional(e)
    torch.testing.assert_close(conditional.log_prob(e) + log_det, teacher.log_prob(x))


def test_a_noisy_past_is_one_of_the_core():
    teacher = randomized(wavenet(SIGNAL, layers=2, **SMALL).double().eval())
    x = data_of(teacher)
    e, log_det = teacher.inward(x, None)
    torch.manual_seed(4)
    whole = teacher.log_prob_from_noisy_past(x, 1.0)
    torch.manual_seed(4)
    core = teacher.core.log_prob_from_noisy_past(e, 1.0)
    torch.testing.assert_close(whole, core + log_det)
    assert not torch.allclose(whole, teacher.log_prob(x))


def test_an_outer_bijector_of_a_context_gets_it():
    class Loudness(Standardize):
        """Scales by what a label says."""

        def forward(self, u, context=None):
            gain = context.need("rows", self, "Pass labels.").argmax(1, keepdim=True) + 1.0
            return u * gain, gain.log().expand_as(u)

        def inverse(self, x, context=None):
            gain = context.need("rows", self, "Pass labels.").argmax(1, keepdim=True) + 1.0
            return x / gain, -gain.log().expand_as(x)

    flow = maf(LABELED, 2, [8], outer=lambda spec: Loudness([0.0], [1.0])).double()
    assert isinstance(flow.bijector.layers[0], Inverse)
    features = features_of(flow)
    draw = flow.draw(flow.noise(4, seed=0), features)
    ratio = draw.x / flow.core.draw(draw.noise, features).x
    torch.testing.assert_close(ratio[:, 0], features["digit"] + 1.0, check_dtype=False)
    torch.testing.assert_close(flow.log_prob(draw.x, features).sum(1), draw.log_prob.sum(1))
