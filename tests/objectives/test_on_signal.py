"""Objectives on the signal, for models that are distilled before an outer bijector."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from distill.contract import Batch, DataSpec, FeatureSpec
from distill.instantiate import build
from distill.models import Density, Flow, iaf, maf, standardization, wavenet, wavenet_iaf, whitening
from distill.objectives import (
    Distillation,
    GaussianKL,
    Loss,
    MultiResolutionSTFT,
    Objective,
    OnSignal,
    PowerLoss,
    ReverseKL,
    WeightedSum,
)

SPEC = DataSpec(
    sites=None,
    loc=(0.1,),
    scale=(0.02,),
    sample_rate=100,
    hop=4,
    features={"mel": FeatureSpec("frames", 3)},
    settings={
        "envelope": {"fft": 32, "knots": [4.0, 8.0, 12.0], "weight": [1.0] * 3, "bias": [-7.0] * 3}
    },
)
OUTERS = {"standardized": standardization, "whitened": partial(whitening, order=4)}
CONF = Path(__file__).parents[2] / "conf" / "objective" / "clarinet_on_signal.yaml"


def pair(**outer) -> tuple[Flow, Density]:
    torch.manual_seed(0)
    student = wavenet_iaf(SPEC, [2], channels=4, last_scale=1.0, **outer).double()
    return student, wavenet(SPEC, layers=2, channels=4, **outer).double()


def batch_of(frames: int = 16) -> Batch:
    x = 0.1 + 0.02 * torch.randn(2, 4 * frames, dtype=torch.float64)
    mask = torch.ones_like(x)
    mask[1, 40:] = 0
    return Batch(x, {"mel": torch.randn(2, frames, 3, dtype=torch.float64)}, mask)


class Seen(Objective):
    """Keeps what it is given."""

    def check(self, student, teacher):
        self.checked = student, teacher

    def forward(self, draw, student, teacher, batch, progress):
        self.given = draw, student, teacher, batch, progress
        return Loss(draw.x.square().mean(), {"seen": torch.ones(())})


@pytest.fixture(params=OUTERS, name="outer")
def _outer(request):
    return {"outer": OUTERS[request.param]}


def distilled(objective: Objective, batch: Batch, **outer) -> Loss:
    student, teacher = pair(**outer)
    task = Distillation(student, teacher, objective)
    torch.manual_seed(1)
    return task(batch, 0.5)


def test_the_objective_sees_the_draw_and_the_recording_as_signals(outer):
    student, teacher = pair(**outer)
    seen, batch = Seen(), batch_of()
    task = Distillation(student, teacher, OnSignal(seen))
    assert seen.checked == (student, teacher)
    loss = task(batch, 0.5)
    draw, *models, heard, progress = seen.given
    assert models[0] is student
    assert [id(p) for p in models[1].parameters()] == [id(p) for p in teacher.parameters()]
    assert models[1].outer is teacher.outer
    assert progress == 0.5
    torch.testing.assert_close(heard.x, batch.x, rtol=0, atol=1e-12)
    assert heard.features is batch.features
    assert heard.mask is batch.mask
    assert loss.parts == {"seen": torch.ones(())}
    assert draw.x.std() < 0.3


def test_every_field_of_the_draw_is_that_of_the_whole_model(outer):
    student, teacher = pair(**outer)
    seen, batch = Seen(), batch_of()
    Distillation(student, teacher, OnSignal(seen))(batch, 0.0)
    draw = seen.given[0]
    whole = student.draw(draw.noise, batch.features)
    for name in ("x", "log_det", "log_prob", "loc", "log_scale"):
        torch.testing.assert_close(getattr(draw, name), getattr(whole, name), rtol=0, atol=1e-10)
    assert draw.locatable


@pytest.mark.parametrize("inner", [lambda: PowerLoss(32), ReverseKL])
def test_without_an_outer_bijector_it_is_the_objective_itself(inner):
    batch = batch_of()
    plain, wrapped = distilled(inner(), batch), distilled(OnSignal(inner()), batch)
    assert torch.equal(plain.value, wrapped.value)
    assert plain.parts == wrapped.parts


def test_a_model_that_is_no_core_is_left_as_it_is(outer):
    student, teacher = pair(**outer)
    batch = batch_of()
    draw = student.draw(student.noise(2, sites=64), batch.features)
    given = draw, student, teacher, batch, 0.0
    assert torch.equal(OnSignal(PowerLoss(32))(*given).value, PowerLoss(32)(*given).value)


def test_spectra_of_the_signal_are_not_those_of_the_core():
    batch = batch_of()
    power = PowerLoss(32, relative=False)
    core = distilled(power, batch, outer=standardization)
    signal = distilled(OnSignal(power), batch, outer=standardization)
    # The standardization inside a student makes the same signals of the same noise.
    inside = distilled(power, batch)
    assert signal.value.item() == pytest.approx(inside.value.item(), rel=1e-6)
    assert core.value > 100 * signal.value


def test_a_kl_is_the_same_on_the_signal(outer):
    batch = batch_of()
    core = distilled(ReverseKL(), batch, **outer)
    signal = distilled(OnSignal(ReverseKL()), batch, **outer)
    assert signal.value.item() == pytest.approx(core.value.item(), abs=1e-10)
    assert core.value.abs() > 1e-3


def test_the_gradient_reaches_the_student_through_the_outer_bijector(outer):
    student, teacher = pair(**outer)
    task = Distillation(student, teacher, OnSignal(PowerLoss(32)))
    task(batch_of(), 0.0).value.backward()
    assert all(p.grad is None for p in teacher.parameters())
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_vectors_too_have_a_signal():
    spec = DataSpec(sites=2, loc=(3.0, 4.0), scale=(0.1, 10.0))
    student, teacher = (b(spec, 1, [4], outer=standardization) for b in (iaf, maf))
    seen = Seen()
    x = torch.randn(5, 2)
    Distillation(student, teacher, OnSignal(seen))(Batch(x), 0.0)
    torch.testing.assert_close(seen.given[3].x, x)


def test_what_needs_a_conditional_is_refused_before_training():
    student, teacher = pair(outer=standardization)
    with pytest.raises(ValueError, match="Take GaussianKL out of OnSignal"):
        Distillation(student, teacher, OnSignal(GaussianKL()))
    Distillation(*pair(), OnSignal(GaussianKL()))


def test_the_yaml_trains_a_student(outer):
    objective = build(OmegaConf.load(CONF))
    assert isinstance(objective, WeightedSum)
    terms = dict(objective.named_terms())
    assert isinstance(terms["signal"], OnSignal)
    assert any(isinstance(m, MultiResolutionSTFT) for m in terms["signal"].modules())
    student, teacher = pair(**outer)
    task = Distillation(student.float(), teacher.float(), objective).train()
    batch = batch_of(frames=300)
    features = {"mel": batch.features["mel"].float()}
    optimizer = torch.optim.Adam([p for p in task.parameters() if p.requires_grad], 0.01)
    losses = []
    for _ in range(4):
        torch.manual_seed(0)
        loss = task(Batch(batch.x.float(), features), 0.0)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        losses.append(loss.value.item())
    assert losses[-1] < losses[0]
    assert {"kl/kl", "signal/stft/distance", "signal/power/distance"} <= set(loss.parts)
