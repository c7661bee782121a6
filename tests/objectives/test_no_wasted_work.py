"""A step encodes each model's features once, and draws only where the draw is read."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch

from distill.contract import Batch, DataSpec, FeatureSpec
from distill.models import Density, Flow, iaf, maf, wavenet, wavenet_iaf
from distill.objectives import (
    Contrastive,
    Distillation,
    ForwardKL,
    FreeEntropyKL,
    GaussianKL,
    JensenShannon,
    Loss,
    OnSignal,
    PowerLoss,
    Ramp,
    ReverseKL,
    WeightedSum,
)
from tests.objectives.test_cores import SOUND, SPEC, WHITE, batch_of, randomized

CONDITIONED = DataSpec(2, features={"c": FeatureSpec("vector", 1)})


def pair(spec: DataSpec) -> tuple[Flow, Density]:
    torch.manual_seed(3)
    if spec.sites is not None:
        return randomized(iaf(spec, 1, [8])), randomized(maf(spec, 1, [8]))
    options = {"channels": 4, "last_scale": 1.0, **WHITE}
    return (
        randomized(wavenet_iaf(spec, [2], block=4, **options)),
        randomized(wavenet(spec, layers=2, **options)),
    )


def late(objective) -> dict:
    return {"objective": objective, "weight": Ramp(0.0, 0.5, begin=0.5)}


OBJECTIVES = {
    "reverse": (SOUND, ReverseKL),
    "forward": (SPEC, ForwardKL),
    "forward from a pool": (DataSpec(2), partial(ForwardKL, 32)),
    "Jensen-Shannon": (SPEC, JensenShannon),
    "covering": (SPEC, lambda: WeightedSum({"a": late(ReverseKL()), "b": ForwardKL()})),
    "free entropy": (SOUND, partial(FreeEntropyKL, 2)),
    "contrastive": (
        SOUND,
        lambda: WeightedSum({"a": GaussianKL(), "b": Contrastive(), "c": ReverseKL()}),
    ),
    "on signals": (
        SOUND,
        lambda: WeightedSum({"a": GaussianKL(), "b": OnSignal(PowerLoss(8)), "c": PowerLoss(8)}),
    ),
    "forward on signals": (SOUND, lambda: OnSignal(ForwardKL())),
}


def plainly(task: Distillation, batch: Batch, progress: float) -> Loss:
    """Compute a step with a draw always, and raw features for whoever asks."""
    student, teacher = task.model, task.teacher
    noise = student.noise(batch.x.shape[0], sites=batch.x.shape[1])
    with torch.no_grad():
        value, _ = student.inward(batch.x, student.context(batch.features))
    draw = student.core.draw(noise, batch.features)
    inner = Batch(value, batch.features, batch.mask)
    return task.objective(draw, student.core, teacher.core, inner, progress)


def curve(name: str, step, encoder: str = "own") -> list[torch.Tensor]:
    """Train for some steps; return the losses and then the weights."""
    spec, objective = OBJECTIVES[name]
    task = Distillation(*pair(spec), objective(), encoder).train()
    weights = [p for p in task.parameters() if p.requires_grad]
    optimizer, losses = torch.optim.SGD(weights, 0.01), []
    for number in range(4):
        torch.manual_seed(number)
        loss = step(task, batch_of(task.model, 4), number / 4).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return losses + [weight.detach() for weight in weights]


CURVES = [(name, "own") for name in OBJECTIVES]
CURVES += [(name, "shared") for name, (spec, _) in OBJECTIVES.items() if spec is SOUND]


@pytest.mark.parametrize(("name", "encoder"), CURVES)
def test_the_curve_is_that_of_the_plain_step(name, encoder):
    lean, plain = (
        curve(name, step, encoder) for step in (lambda task, *given: task(*given), plainly)
    )
    for mine, wanted in zip(lean, plain, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-12, atol=1e-12)


def calls_of(module: torch.nn.Module) -> list[object]:
    made: list[object] = []
    module.register_forward_hook(lambda *_: made.append(1))
    return made


@pytest.mark.parametrize("name", [k for k, (spec, _) in OBJECTIVES.items() if spec.features])
def test_features_are_encoded_once_for_each_model(name):
    spec, objective = OBJECTIVES[name]
    task = Distillation(*pair(spec), objective())
    mine, theirs = calls_of(task.model.encoder), calls_of(task.teacher.encoder)
    for progress in (0.0, 0.9):
        task(batch_of(task.model, 4), progress)
    assert (len(mine), len(theirs)) == (2, 2)


def test_a_shared_encoder_runs_once_for_both():
    task = Distillation(*pair(SOUND), OBJECTIVES["contrastive"][1](), encoder="shared")
    mine, theirs = calls_of(task.model.encoder), calls_of(task.teacher.encoder)
    task(batch_of(task.model, 4), 0.0)
    assert len(mine) + len(theirs) == 1


DRAWS = {"reverse": (3, 3), "forward": (0, 0), "Jensen-Shannon": (3, 3), "covering": (0, 3)}


@pytest.mark.parametrize("name", DRAWS)
def test_the_student_draws_where_the_draw_is_read(name, monkeypatch):
    spec, objective = OBJECTIVES[name]
    task, drawn, counts = Distillation(*pair(spec), objective()), [], []
    real = Flow.draw
    monkeypatch.setattr(Flow, "draw", lambda *given: (drawn.append(1), real(*given))[1])
    for progress in (0.0, 0.9):
        for _ in range(3):
            task(batch_of(task.model, 4), progress)
        counts.append(len(drawn) - sum(counts))
    assert tuple(counts) == DRAWS[name]


def test_an_objective_of_raw_features_still_works():
    class Mine(ReverseKL):
        def forward(self, draw, student, teacher, batch, progress):
            return Loss((draw.log_prob - teacher.log_prob(draw.x, batch.features)).mean())

    task = Distillation(*pair(CONDITIONED), Mine())
    features = {"c": torch.randn(4, 1, dtype=torch.float64)}
    batch = Batch(torch.zeros(4, 2, dtype=torch.float64), features)
    torch.manual_seed(1)
    mine = task(batch, 0.0).value
    torch.manual_seed(1)
    theirs = Distillation(*copy.deepcopy((task.model, task.teacher)), ReverseKL())(batch, 0.0)
    assert mine.item() == pytest.approx(theirs.value.item(), abs=1e-12)
