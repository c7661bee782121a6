"""A training without configs goes on only as what it was begun as."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import distill
from distill.contract import DataSpec
from distill.distributions import GaussianHead
from distill.models import AutoregressiveDensity, Flow
from distill.networks import MADE
from distill.objectives import ForwardKL, Ramp, ReverseKL, WeightedSum
from distill.training.described import described

POINTS = np.random.default_rng(0).normal(size=(60, 2))
SETTINGS = {"steps": 2, "batch_size": 8}
SMALL = {"layers": 1, "hidden": [4]}


def normal(mean: float) -> torch.distributions.Distribution:
    return torch.distributions.MultivariateNormal(torch.full((2,), mean), torch.eye(2))


def summed(start: float = 0.5) -> WeightedSum:
    term = {"objective": ReverseKL(), "weight": Ramp(start, 1.0)}
    return WeightedSum({"reverse": term, "forward": ForwardKL(pool=16)})


def student() -> Flow:
    torch.manual_seed(0)
    return distill.iaf(DataSpec(sites=2), **SMALL)


def distilled(folder: Path, **changed: Any) -> None:
    given = {"teacher": normal(0.0), "objective": summed(), **SETTINGS, **changed}
    distill.distill(student(), data=POINTS, folder=folder, resume=True, **given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs") / "run"
    distilled(made)
    return made


def test_an_equal_training_built_anew_goes_on(folder: Path) -> None:
    distilled(folder)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"teacher": normal(3.0)}, r"teacher\.density\.loc="),
        ({"objective": "tempered_kl"}, r"objective\."),
        (
            {"objective": summed(start=0.4)},
            r"weights\.reverse\.start=0\.4 in place of 0",
        ),
        ({"optimizer": torch.optim.SGD}, r"settings\.optimizer"),
        ({"seed": 1}, "seed=1 in place of 0"),
    ],
    ids=["teacher", "objective", "schedule", "optimizer", "seed"],
)
def test_another_training_is_refused_by_what_differs(
    folder: Path, changed: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        distilled(folder, **changed)


@pytest.mark.parametrize("warmup", [0, 1])
def test_another_loss_warmup_is_another_training(tmp_path: Path, warmup: int) -> None:
    def fitted(loss_warmup: int) -> None:
        model = distill.maf(DataSpec(sites=2), **SMALL)
        given = {"folder": tmp_path, "resume": True, "loss_warmup": loss_warmup, **SETTINGS}
        distill.fit(model, POINTS, **given)

    fitted(warmup)
    with pytest.raises(ValueError, match=f"loss_warmup={1 - warmup} in place of {warmup}"):
        fitted(1 - warmup)


def test_a_fit_goes_on_to_more_steps_with_the_same_curve(tmp_path: Path) -> None:
    def fitted(folder: Path, steps: int) -> distill.models.Density:
        torch.manual_seed(0)
        model = distill.maf(DataSpec(sites=2), **SMALL)
        given = {"folder": folder, "resume": True, **SETTINGS, "schedule": "constant"}
        return distill.fit(model, POINTS, **{**given, "steps": steps, "save_every": steps})

    whole = fitted(tmp_path / "whole", 6)
    fitted(tmp_path / "parts", 3)
    parts = fitted(tmp_path / "parts", 6)
    torch.testing.assert_close(parts.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_a_model_put_together_by_hand_is_told_by_its_parts(tmp_path: Path) -> None:
    def fitted(activation: str) -> None:
        made = MADE(2, [4], parameters_per_site=2, activation=activation)
        model = AutoregressiveDensity(made, GaussianHead(), distill.as_data(POINTS).spec)
        distill.fit(model, POINTS, folder=tmp_path, resume=True, **SETTINGS)

    fitted("relu")
    fitted("relu")
    with pytest.raises(ValueError, match="model"):
        fitted("tanh")
    with pytest.raises(ValueError, match=r"put together by hand.*@distill\.register"):
        distill.load(tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.int64(3), np.int64(4)),
        (torch.float32, torch.float64),
        ({"a", "b"}, {"a", "c"}),
        (torch.relu, torch.tanh),
        (partial(torch.optim.SGD, lr=0.1), partial(torch.optim.SGD, lr=0.2)),
        (np.zeros(3), np.ones(3)),
    ],
    ids=["numbers", "types", "sets", "functions", "partials", "arrays"],
)
def test_a_description_tells_values_apart_and_is_plain(one: object, other: object) -> None:
    assert described(one) == described(one) != described(other)
    assert json.loads(json.dumps(described(one))) == described(one)


def test_a_description_is_that_of_an_equal_value() -> None:
    assert described(np.int64(3)) == 3
    assert described({"b", "a"}) == ["a", "b"]
    assert described(object()) == described(object())


def test_training_leaves_the_callers_random_state_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.randn(2)
    torch.manual_seed(5)
    distill.fit(distill.maf(DataSpec(sites=2), **SMALL), POINTS, **SETTINGS)
    after = torch.randn(2)
    torch.manual_seed(5)
    distill.maf(DataSpec(sites=2), **SMALL)  # building draws weights, as it did before
    assert torch.equal(torch.randn(2), after)
    assert not torch.equal(after, wanted)


def test_a_frozen_teacher_is_trained_again_once_it_is_thawed() -> None:
    teacher = distill.maf(DataSpec(sites=2), **SMALL)
    distill.distill(student(), teacher, POINTS, **SETTINGS)
    with pytest.raises(ValueError, match=r"it has none, or was frozen.*requires_grad_\(True\)"):
        distill.fit(teacher, POINTS, **SETTINGS)
    before = teacher.log_prob(torch.ones(1, 2)).detach()
    teacher.requires_grad_(True)
    distill.fit(teacher, POINTS, **SETTINGS)
    assert not torch.equal(teacher.log_prob(torch.ones(1, 2)), before)
