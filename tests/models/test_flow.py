"""Flows: the draw is the cache, the teacher stays frozen, seeds reproduce."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from distill.bijectors import Flip, RationalQuadraticSpline
from distill.contract import DataSpec, FeatureSpec
from distill.distributions import Logistic
from distill.models import (
    Density,
    Flow,
    coupling_flow,
    freeze,
    iaf,
    maf,
    nice,
    wavenet,
    wavenet_iaf,
)
from distill.networks import MaskedLinear

SITES = 4
SPEC = DataSpec(sites=SITES, loc=(1.0, -2.0, 0.5, 0.0), scale=(2.0, 0.5, 1.0, 3.0))
LABELED = DataSpec(
    sites=SITES,
    features={"digit": FeatureSpec("label", 3), "pose": FeatureSpec("vector", 2)},
)

FLOWS = {
    "iaf": lambda spec: iaf(spec, 3, [12]),
    "iaf (in order)": lambda spec: iaf(spec, 3, [12], between="none"),
    "iaf (logistic)": lambda spec: iaf(spec, 2, [12], base=Logistic()),
    "iaf (spline)": lambda spec: iaf(spec, 2, [12], transform=RationalQuadraticSpline),
    "iaf (batch norm)": lambda spec: iaf(spec, 2, [12], norm="batch"),
    "iaf (act norm, permuted)": lambda spec: iaf(
        spec, 2, [12], norm="act", between=[*range(1, spec.sites), 0]
    ),
    "maf": lambda spec: maf(spec, 3, [12]),
    "maf (batch norm)": lambda spec: maf(spec, 3, [12], norm="batch"),
    "maf (mixture)": lambda spec: maf(spec, 2, [12], mixture=3),
    "maf (recompute)": lambda spec: maf(spec, 2, [12], recompute=True),
    "coupling_flow": lambda spec: coupling_flow(spec, 4, [12]),
    "coupling_flow (even)": lambda spec: coupling_flow(spec, 4, [12], mask="even", norm="act"),
    "coupling_flow (spline)": lambda spec: coupling_flow(spec, 2, [12], RationalQuadraticSpline),
    "nice": lambda spec: nice(spec, 4, [12]),
}


def randomized(model: nn.Module, seed: int = 0, by: float = 0.3) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=generator))
    for part in model.modules():
        if isinstance(part, MaskedLinear):
            part.mask_()
    return model


def features_of(spec: DataSpec, count: int) -> dict[str, torch.Tensor] | None:
    if not spec.features:
        return None
    generator = torch.Generator().manual_seed(5)
    return {
        "digit": torch.arange(count) % 3,
        "pose": torch.randn(count, 2, generator=generator),
    }


@pytest.fixture(params=FLOWS, name="build")
def _build(request):
    torch.manual_seed(0)
    return FLOWS[request.param]


@pytest.mark.parametrize("spec", [SPEC, LABELED], ids=["plain", "conditional"])
def test_log_prob_of_own_samples_equals_inverse(build, spec):
    flow, features = randomized(build(spec)), features_of(spec, 6)
    with torch.no_grad():
        draw = flow.draw(flow.noise(6, seed=1), features)
        foreign = flow.log_prob(draw.x, features)
    assert draw.log_prob.shape == draw.x.shape == draw.log_det.shape == (6, SITES)
    torch.testing.assert_close(draw.log_prob.sum(1), foreign.sum(1), rtol=0, atol=1e-8)


@pytest.mark.parametrize("spec", [SPEC, LABELED], ids=["plain", "conditional"])
def test_kl_is_zero_when_student_is_teacher(build, spec):
    student, features = randomized(build(spec)), features_of(spec, 64)
    teacher = freeze(copy.deepcopy(student))
    with torch.no_grad():
        draw = student.draw(student.noise(64, seed=1), features)
        ratio = (draw.log_prob - teacher.log_prob(draw.x, features)).sum(1)
    assert ratio.mean().abs() < 1e-9
    assert ratio.std() / 8 < 1e-9


def test_forward_is_draw_and_its_cache_holds_the_density(build):
    flow = randomized(build(SPEC))
    noise = flow.noise(5, seed=0)
    draw = flow(noise)
    assert torch.equal(draw.noise, noise)
    torch.testing.assert_close(draw.log_prob, flow.base.log_prob(noise) - draw.log_det)


def test_features_change_the_density(build):
    flow = randomized(build(LABELED))
    x = torch.randn(6, SITES, dtype=torch.float64)
    features = features_of(LABELED, 6)
    other = {**features, "digit": (features["digit"] + 1) % 3}
    assert not torch.equal(flow.log_prob(x, features), flow.log_prob(x, other))
    assert not torch.equal(flow.sample(6, features, seed=0), flow.sample(6, other, seed=0))


def test_sampling_is_reproducible_by_seed(build):
    flow = randomized(build(SPEC))
    first, again, other = (flow.sample(7, seed=seed) for seed in (3, 3, 4))
    assert first.shape == (7, SITES)
    assert first.dtype == torch.float64
    assert not first.requires_grad
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_sampling_with_a_seed_leaves_the_global_generator_alone(build):
    flow = randomized(build(SPEC))
    before = torch.get_rng_state()
    flow.sample(2, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_temperature_zero_gives_the_image_of_zero_noise():
    flow = randomized(iaf(SPEC, 2, [8]))
    expected = flow.draw(torch.zeros(3, SITES, dtype=torch.float64)).x
    assert torch.equal(flow.sample(3, temperature=0.0), expected)


def test_the_density_of_two_sites_integrates_to_one(build):
    flow = randomized(build(DataSpec(sites=2)), by=0.1)
    axis = torch.linspace(-12, 12, 481, dtype=torch.float64)
    with torch.no_grad():
        total = flow.log_prob(torch.cartesian_prod(axis, axis)).sum(1).exp().sum() * 0.05**2
    assert total.item() == pytest.approx(1, abs=1e-3)


def test_every_parameter_of_a_student_gets_a_gradient(build):
    flow = randomized(build(LABELED)).train()
    draw = flow(flow.noise(16, seed=0), features_of(LABELED, 16))
    (draw.x.square().sum() + draw.log_prob.sum()).backward()
    for name, parameter in flow.named_parameters():
        if not name.startswith("base."):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_every_parameter_of_a_teacher_gets_a_gradient(build):
    flow = randomized(build(LABELED))
    flow.log_prob(
        torch.randn(16, SITES, dtype=torch.float64), features_of(LABELED, 16)
    ).sum().backward()
    for name, parameter in flow.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("spec", [SPEC, LABELED], ids=["plain", "conditional"])
def test_teacher_gets_no_gradient_and_does_not_change_by_a_bit(spec):
    teacher = freeze(randomized(maf(spec, 2, [12], norm="batch"), seed=1))
    student = randomized(iaf(spec, 2, [12]), seed=2).train()
    before = copy.deepcopy(teacher.state_dict())
    optimizer = torch.optim.Adam(student.parameters(), 0.01)
    features = features_of(spec, 32)
    losses = []
    for _ in range(20):
        draw = student(student.noise(32, seed=0), features)
        draw.x.retain_grad()
        loss = (draw.log_prob - teacher.log_prob(draw.x, features)).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        assert draw.x.grad.abs().sum() > 0
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_gradient_through_the_frozen_teacher_is_that_of_finite_differences():
    teacher = freeze(randomized(maf(SPEC, 2, [12])))
    x = torch.randn(3, SITES, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: teacher.log_prob(v).sum(), (x,), atol=1e-5)


def test_loc_and_log_scale_are_those_of_the_conditional():
    flow = randomized(iaf(SPEC, 3, [12], between="none"))
    noise = flow.noise(1, seed=0)
    draw = flow.draw(noise)
    torch.testing.assert_close(draw.loc + noise * draw.log_scale.exp(), draw.x)
    for read in ("loc", "log_scale"):
        jacobian = torch.autograd.functional.jacobian(
            lambda u, read=read: getattr(flow.draw(u), read)[0], noise
        )[:, 0]
        assert jacobian.triu().abs().max() < 1e-12, f"{read} sees its own or later noise"
        assert jacobian.tril(-1).abs().max() > 1e-3


@pytest.mark.parametrize(
    "flow",
    [iaf(SPEC, 2, [8]), iaf(SPEC, 1, [8], RationalQuadraticSpline)],
    ids=["flips", "splines"],
)
def test_without_a_location_scale_conditional_the_remedy_is_named(flow):
    draw = flow.draw(flow.noise(2))
    for read in ("loc", "log_scale"):
        with pytest.raises(ValueError, match="log_ratio"):
            getattr(draw, read)


def test_trace_starts_at_the_noise_and_ends_at_the_sample(build):
    flow = randomized(build(SPEC))
    noise = flow.noise(5, seed=0)
    trace = flow.trace(noise)
    assert torch.equal(trace[0], noise)
    assert torch.equal(trace[-1], flow.sample(5, seed=0))
    assert len(trace) == len(flow.bijector.layers) + 1


def test_saved_weights_give_the_same_density(build):
    one, other = randomized(build(SPEC), seed=1), randomized(build(SPEC), seed=2)
    x = torch.randn(5, SITES, dtype=torch.float64)
    assert not torch.equal(one.log_prob(x), other.log_prob(x))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.log_prob(x), other.log_prob(x))


def test_a_flow_is_a_density(build):
    flow = build(SPEC)
    assert isinstance(flow, Flow)
    assert isinstance(flow, Density)
    assert "Flow" in repr(flow)


@pytest.mark.parametrize("kind", ["maf", "iaf", "coupling_flow", "nice", "wavenet", "wavenet_iaf"])
def test_values_are_scored_in_the_models_precision_or_refused(kind):
    torch.manual_seed(0)
    wavenets = {"wavenet": wavenet, "wavenet_iaf": wavenet_iaf}
    model = wavenets[kind](SPEC, channels=4) if kind in wavenets else FLOWS[kind](SPEC)
    model.eval()
    whole = torch.tensor([[1, 0, 2, -1], [0, 3, 1, 1]])
    scored = model.log_prob(whole.float())
    for dtype in (torch.int64, torch.float16, torch.bfloat16):
        torch.testing.assert_close(model.log_prob(whole.to(dtype)), scored, rtol=0, atol=0)
    assert model.log_prob(torch.zeros(0, SITES)).shape == (0, SITES)
    double = copy.deepcopy(model).double()
    torch.testing.assert_close(double.log_prob(whole).float(), scored, rtol=1e-4, atol=1e-4)
    for x, wanted in (
        (whole.double(), "in the model's float32, got float64"),
        (whole.float().numpy(), "wanted a tensor, got ndarray"),
        (torch.zeros(SITES), r"shape \(batch, 4\), got \(4,\)"),
        (torch.zeros(2, SITES + 1), r"shape \(batch, 4\), got \(2, 5\)"),
    ):
        with pytest.raises(ValueError, match=wanted):
            model.log_prob(x)
    assert model.sample(0).shape == (0, SITES)
    assert torch.isfinite(model.sample(2, temperature=0.0)).all()
    for wrong in ({"count": -1}, {"count": 1, "temperature": float("nan")}):
        with pytest.raises(ValueError, match=r"sample: (count|temperature): wanted"):
            model.sample(**wrong)


def test_frames_say_how_long_a_sound_is():
    spec = DataSpec(
        sites=None, features={"mel": FeatureSpec("frames", 3)}, hop=8, sample_rate=8_000
    )
    teacher, student = wavenet(spec, layers=1, channels=4), wavenet_iaf(spec, [1], channels=4)
    mel = {"mel": torch.randn(2, 5, 3)}
    assert teacher.sample(2, mel).shape == student.sample(2, mel).shape == (2, 40)
    assert student.sample(2, student.context(mel)).shape == (2, 40)
    with pytest.raises(ValueError, match="features that are frames"):
        student.sample(2)


def test_whole_numbers_are_scored_by_a_flow_without_weights_too():
    flow = Flow(Flip(), DataSpec(sites=2), Logistic())
    whole = torch.tensor([[1, 2]])
    torch.testing.assert_close(flow.log_prob(whole), flow.log_prob(whole.float()))
