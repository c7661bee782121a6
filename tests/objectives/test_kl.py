"""Divergences between a student and its teacher."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch

from distill.bijectors import Standardize
from distill.contract import Batch, DataSpec, FeatureSpec
from distill.models import Flow, iaf, maf, wavenet, wavenet_iaf
from distill.networks import FrameEncoder
from distill.objectives import (
    Distillation,
    ForwardKL,
    JensenShannon,
    Likelihood,
    Ramp,
    ReverseKL,
    WeightedSum,
)
from tests.randomized import randomized

SPEC = DataSpec(sites=3)


def gaussian(loc: float, scale: float, sites: int | None = 1) -> Flow:
    return Flow(Standardize([loc], [scale]), DataSpec(sites))


def gaussian_kl(m0: float, s0: float, m1: float, s1: float) -> float:
    return math.log(s1 / s0) + (s0**2 + (m0 - m1) ** 2) / (2 * s1**2) - 0.5


def batch(count: int, sites: int) -> Batch:
    return Batch(torch.zeros(count, sites))


def test_reverse_kl_of_two_gaussians_agrees_with_its_closed_form() -> None:
    torch.manual_seed(0)
    student, teacher = gaussian(0.3, 0.8), gaussian(0.0, 1.0)
    draw = student.draw(student.noise(200_000))
    loss = ReverseKL()(draw, student, teacher, batch(200_000, 1), 0.0)
    assert loss.value.item() == pytest.approx(gaussian_kl(0.3, 0.8, 0.0, 1.0), abs=5e-3)


def test_forward_kl_of_two_gaussians_agrees_with_its_closed_form() -> None:
    torch.manual_seed(0)
    student, teacher = gaussian(0.3, 0.8), gaussian(0.0, 1.0)
    request = batch(200_000, 1)
    loss = ForwardKL()(student.draw(request.x), student, teacher, request, 0.0)
    assert loss.value.item() == pytest.approx(gaussian_kl(0.0, 1.0, 0.3, 0.8), abs=1e-2)


def test_jensen_shannon_of_disjoint_densities_is_ln_2() -> None:
    student, teacher = gaussian(50.0, 1.0), gaussian(-50.0, 1.0)
    request = batch(100, 1)
    loss = JensenShannon()(student.draw(student.noise(100)), student, teacher, request, 0.0)
    assert loss.value.item() == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize("objective", [ReverseKL(), ForwardKL(), JensenShannon(), ForwardKL(100)])
def test_every_divergence_is_zero_when_student_is_teacher(objective: ReverseKL) -> None:
    flow = randomized(iaf(SPEC, layers=2, hidden=[8]).double())
    draw = flow.draw(flow.noise(50))
    loss = objective(draw, flow, copy.deepcopy(flow), batch(50, 3), 0.0)
    assert abs(loss.value.item()) < 1e-12


def test_tempering_scales_the_teacher_and_reports_the_plain_kl() -> None:
    student, teacher = gaussian(1.0, 0.5), gaussian(0.0, 1.0)
    draw = student.draw(student.noise(10))
    loss = ReverseKL(beta=Ramp(0.0, 1.0))(draw, student, teacher, batch(10, 1), 0.25)
    log_p = teacher.log_prob(draw.x)
    assert loss.value.item() == pytest.approx((draw.log_prob - 0.25 * log_p).mean().item())
    assert loss.parts["kl"].item() == pytest.approx((draw.log_prob - log_p).mean().item())


def test_masked_sites_stay_out_of_the_kl() -> None:
    student, teacher = gaussian(1.0, 0.5, sites=None), gaussian(0.0, 1.0, sites=None)
    noise = torch.randn(4, 5)
    noise[:, 3:] = 100.0
    mask = torch.ones(4, 5)
    mask[:, 3:] = 0
    whole = Batch(torch.zeros(4, 5), mask=mask)
    masked = ReverseKL()(student.draw(noise), student, teacher, whole, 0.0)
    short = ReverseKL()(student.draw(noise[:, :3]), student, teacher, batch(4, 3), 0.0)
    assert masked.value.item() == pytest.approx(short.value.item())


def test_the_teacher_gets_no_gradient_and_stays_as_it_is() -> None:
    teacher, student = maf(SPEC, layers=2, hidden=[8]), iaf(SPEC, layers=2, hidden=[8])
    before = copy.deepcopy(teacher.state_dict())
    task = Distillation(student, teacher, ReverseKL()).train()
    optimizer = torch.optim.Adam(task.parameters(), lr=0.1)
    for _ in range(3):
        loss = task(batch(16, 3), 0.0)
        loss.value.backward()
        optimizer.step()
    assert all(p.grad is None for p in teacher.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in student.parameters())
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert not teacher.training


def test_a_student_of_other_data_is_refused() -> None:
    with pytest.raises(ValueError, match="same data"):
        Distillation(iaf(DataSpec(sites=2)), maf(SPEC), ReverseKL())


def test_a_weighted_sum_adds_its_terms_and_leaves_out_those_of_weight_zero() -> None:
    student, teacher = gaussian(1.0, 0.5), gaussian(0.0, 1.0)
    draw, request = student.draw(student.noise(10)), batch(10, 1)
    whole = WeightedSum(
        {
            "a": {"objective": ReverseKL(), "weight": 2.0},
            "b": {"objective": ForwardKL(), "weight": Ramp(0.0, 1.0, begin=0.5)},
        }
    )
    early = whole(draw, student, teacher, request, 0.1)
    plain = ReverseKL()(draw, student, teacher, request, 0.1)
    assert early.value.item() == pytest.approx(2 * plain.value.item())
    assert "b/kl" not in early.parts
    assert "b/kl" in whole(draw, student, teacher, request, 0.9).parts


def test_an_empty_sum_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one term"):
        WeightedSum({})


def test_ramps_hold_their_ends_and_refuse_nonsense() -> None:
    ramp = Ramp(0.01, 1.0, begin=0.2, end=0.6, geometric=True)
    assert [ramp(0.0), ramp(0.2), ramp(1.0)] == pytest.approx([0.01, 0.01, 1.0])
    assert ramp(0.4) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="begin < end"):
        Ramp(0.0, 1.0, begin=0.5, end=0.5)
    with pytest.raises(ValueError, match="positive ends"):
        Ramp(0.0, 1.0, geometric=True)


def test_a_shared_encoder_is_copied_and_frozen_and_a_copied_one_trains() -> None:
    spec = DataSpec(sites=None, features={"mel": FeatureSpec("frames", 3)}, hop=4)
    teacher, student = (
        wavenet(spec, layers=1, channels=4),
        wavenet_iaf(spec, flows=[1], channels=4),
    )
    Distillation(student, teacher, ReverseKL(), encoder="shared")
    for mine, theirs in zip(
        student.encoder.parameters(), teacher.encoder.parameters(), strict=True
    ):
        assert torch.equal(mine, theirs)
        assert mine is not theirs
        assert not mine.requires_grad
    Distillation(student, teacher, ReverseKL(), encoder="copied")
    assert all(p.requires_grad for p in student.encoder.parameters())
    other = wavenet_iaf(spec, flows=[1], channels=4, encoder=partial(FrameEncoder, layers=2))
    with pytest.raises(ValueError, match="student_encoder"):
        Distillation(other, teacher, ReverseKL(), encoder="shared")
    with pytest.raises(ValueError, match="own, copied or shared"):
        Distillation(other, teacher, ReverseKL(), encoder="mine")


def test_the_warm_up_is_left_out_of_the_loss_and_must_be_shorter_than_a_value() -> None:
    model = maf(SPEC, layers=1, hidden=[4])
    x = torch.randn(5, 3)
    loss = Likelihood(model, loss_warmup=2)(Batch(x), 0.0)
    assert loss.value.item() == pytest.approx(-model.log_prob(x)[:, 2].mean().item())
    with pytest.raises(ValueError, match="warm-up"):
        Likelihood(model, loss_warmup=3)(Batch(x), 0.0)
