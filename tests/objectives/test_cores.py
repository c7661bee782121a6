"""Distillation compares models before the outer bijector that they share."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch

from distill.bijectors import Standardize
from distill.contract import Batch, DataSpec, FeatureSpec
from distill.models import Density, Flow, iaf, maf, standardization, wavenet, wavenet_iaf, whitening
from distill.objectives import (
    Distillation,
    GaussianKL,
    Likelihood,
    Loss,
    Objective,
    ReverseKL,
)
from tests.randomized import randomized
from tests.whitened import SIGNAL, SOUND, WHITE

SPEC = DataSpec(3, (5.0, -6.0, 7.0), (0.1, 1.0, 10.0), {"digit": FeatureSpec("label", 4)})
OUTER = {"outer": standardization}


PAIRS = {
    "tables": lambda: (iaf(SPEC, 2, [8], **OUTER), maf(SPEC, 2, [8], norm="batch", **OUTER)),
    "recomputed": lambda: (iaf(SPEC, 2, [8], recompute=True, **OUTER), maf(SPEC, 2, [8], **OUTER)),
    "signals": lambda: (
        wavenet_iaf(SIGNAL, [2], channels=4, block=4, last_scale=1.0, **OUTER),
        wavenet(SIGNAL, layers=2, channels=4, block=2, **OUTER),
    ),
    "sounds": lambda: (
        wavenet_iaf(SOUND, [2], channels=4, block=4, last_scale=1.0, **WHITE),
        wavenet(SOUND, layers=2, channels=4, **WHITE),
    ),
}


@pytest.fixture(params=PAIRS, name="pair")
def _pair(request) -> tuple[Flow, Density]:
    student, teacher = PAIRS[request.param]()
    return randomized(student.double()), randomized(teacher.double())


def batch_of(model, count: int = 8) -> Batch:
    sites = model.spec.sites or 12
    x = torch.randn(count, sites, dtype=torch.float64) * torch.tensor(model.spec.scale).double()
    made = {"digit": torch.arange(count) % 4, "mel": torch.randn(count, 3, 3).double()}
    features = {name: made[name] for name in model.spec.features} or None
    return Batch(x + torch.tensor(model.spec.loc).double(), features)


def weights_of(model) -> list[int]:
    return [id(weight) for weight in model.parameters()]


class Seen(Objective):
    """Keeps what it is given."""

    def forward(self, draw, student, teacher, batch, progress):
        self.given = draw, student, teacher, batch
        return Loss(draw.x.mean())


def test_the_kl_of_cores_is_that_of_the_models_on_the_same_noise(pair):
    student, teacher = pair
    batch = batch_of(student)
    torch.manual_seed(5)
    cores = Distillation(student, teacher, ReverseKL()).eval()(batch, 0.0)
    torch.manual_seed(5)
    draw = student.draw(student.noise(8, sites=batch.x.shape[1]), batch.features)
    wholes = ReverseKL()(draw, student, teacher, batch, 0.0)
    assert wholes.value.abs() > 1e-3
    assert cores.value.item() == pytest.approx(wholes.value.item(), abs=1e-10)
    assert cores.parts["kl"].item() == pytest.approx(wholes.parts["kl"].item(), abs=1e-10)


def test_an_objective_sees_cores_and_a_recording_taken_inward(pair):
    student, teacher = pair
    batch, seen = batch_of(student), Seen()
    Distillation(student, teacher, seen)(batch, 0.0)
    draw, core, teacher_core, inner = seen.given
    assert core.whole is student
    assert weights_of(teacher_core) == weights_of(teacher_core.whole) == weights_of(teacher)
    assert core.outer is teacher_core.outer is None
    context = student.context(batch.features)
    assert torch.equal(inner.x, student.inward(batch.x, context)[0])
    assert inner.features is batch.features
    assert not inner.x.requires_grad
    torch.testing.assert_close(core.draw(draw.noise, context).x, draw.x)


def test_the_gradient_reaches_the_student_and_not_the_teacher(pair):
    student, teacher = pair
    before = copy.deepcopy(teacher.state_dict())
    task = Distillation(student, teacher, ReverseKL()).train()
    task(batch_of(student), 0.0).value.backward()
    assert not teacher.training
    assert not teacher.core.training
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_pair_with_a_shared_standardization_trains():
    spec = DataSpec(sites=2, loc=(100.0, -5.0), scale=(50.0, 0.01))
    teacher, student = maf(spec, 2, [16], **OUTER), iaf(spec, 2, [16], **OUTER)
    recordings = torch.randn(256, 2)
    recordings[:, 1] += recordings[:, 0].square()
    x = recordings * torch.tensor(spec.scale) + torch.tensor(spec.loc)
    fit(Likelihood(teacher), Batch(x), 60)
    kl = fit(Distillation(student, teacher, ReverseKL()), Batch(x), 60)
    assert torch.stack(kl[-10:]).mean() < 0.3 * torch.stack(kl[:5]).mean()
    # The divergence of the signals fell with it.
    draw = student.draw(student.noise(2000, seed=0))
    after = (draw.log_prob - teacher.log_prob(draw.x)).sum(1).mean()
    assert after.item() == pytest.approx(2 * torch.stack(kl[-10:]).mean().item(), abs=0.15)


def fit(task, batch, steps: int) -> list[torch.Tensor]:
    optimizer = torch.optim.Adam((p for p in task.parameters() if p.requires_grad), 0.01)
    losses = []
    for step in range(steps):
        torch.manual_seed(step)
        loss = task.train()(batch, step / steps).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses


def with_scale(scale: float):
    return lambda spec: Standardize([0.1], [scale])


class Other(Standardize):
    """Another kind of bijector with the same numbers."""


class Named(Standardize):
    """One with a setting."""

    def __init__(self, setting: int) -> None:
        super().__init__([0.1], [0.5])
        self.setting = setting

    def extra_repr(self) -> str:
        return f"setting={self.setting}"


REFUSED = {
    "none in the student": (None, with_scale(0.5), "bijector, Standardize, got none"),
    "none in the teacher": (with_scale(0.5), None, "bijector, none, got Standardize"),
    "another type": (
        lambda spec: Other([0.1], [0.5]),
        with_scale(0.5),
        "bijector, Standardize, got Other",
    ),
    "other numbers": (with_scale(0.4), with_scale(0.5), "Standardize, got one of other scale"),
    "numbers of other sites": (
        lambda spec: Standardize([0.1, 0.1], [0.5, 0.5]),
        with_scale(0.5),
        "got one of other loc, scale",
    ),
    "another order": (
        partial(whitening, order=3),
        WHITE["outer"],
        "bijector, LinearPrediction, got one of other settings",
    ),
    "other settings": (lambda spec: Named(1), lambda spec: Named(2), "got one of other settings"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_pair_with_different_outer_bijectors_is_refused_in_one_line(case):
    mine, theirs, message = REFUSED[case]
    spec = SOUND if case == "another order" else SIGNAL
    student = wavenet_iaf(spec, [1], channels=4, outer=mine)
    teacher = wavenet(spec, layers=1, channels=4, outer=theirs)
    with pytest.raises(ValueError, match=message) as error:
        Distillation(student, teacher, ReverseKL())
    assert "same outer=" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_a_teacher_in_another_precision_still_has_the_same_outer_bijector():
    student = wavenet_iaf(SIGNAL, [1], channels=4, **OUTER)
    teacher = wavenet(SIGNAL, layers=1, channels=4, **OUTER).double()
    Distillation(student, teacher, ReverseKL())


def test_conditionals_are_compared_by_cores():
    student = randomized(wavenet_iaf(SIGNAL, [2], channels=4, last_scale=1.0, **OUTER).double())
    teacher = randomized(wavenet(SIGNAL, layers=2, channels=4, **OUTER).double())
    loss = Distillation(student, teacher, GaussianKL(pull=0.0))(batch_of(student), 0.0)
    assert loss.value > 0
    with pytest.raises(ValueError, match=r"before its outer bijector.*Take GaussianKL out of On"):
        GaussianKL().check(student, teacher)
