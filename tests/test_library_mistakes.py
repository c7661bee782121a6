"""Likely mistakes with the library end in a sentence that names the thing."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import distill
from distill import export
from distill.bijectors import Affine, BatchNorm, Coupling, RationalQuadraticSpline
from distill.contract import Batch, Draw
from distill.data import Data, Moons, Points
from distill.data.audio import AudioCorpus
from distill.distributions import GaussianHead, MixtureOfGaussians
from distill.evaluation import PointsEvaluator, reverse_kl
from distill.models import Density
from distill.networks import MLP
from distill.objectives import Loss, MultiResolutionSTFT, Objective, Ramp, ReverseKL, WeightedSum

POINTS = np.random.default_rng(0).normal(size=(60, 2))
SPEC = Moons().spec
SETTINGS = {"steps": 2, "batch_size": 8}


def maf() -> Density:
    return distill.maf(SPEC, layers=1, hidden=[4])


def student() -> distill.Flow:
    return distill.iaf(SPEC, layers=1, hidden=[4])


class Own(Objective):
    """An objective that makes what it is told to of the log-ratio."""

    def __init__(self, make: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.make = make

    def forward(
        self, draw: Draw, student: distill.Flow, teacher: Density, batch: Batch, progress: float
    ) -> Any:
        return self.make((draw.log_prob - teacher.log_prob(draw.x)).sum(1))


class Odd(Data):
    """Data that gives what it is told to."""

    spec = SPEC

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make

    def train_batch(self, step: int, size: int, seed: int) -> Any:
        return self.make(size)


def by(make: Callable[[torch.Tensor], Any]) -> object:
    return distill.distill(student(), maf(), POINTS, Own(make), **SETTINGS)


fit = partial(distill.fit, data=POINTS)
MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "a float of samples": (lambda: maf().sample(1e3), r"whole number.*got 1000\.0\. Write 1000\."),
    "a float of draws": (lambda: reverse_kl(student(), maf(), 100.0), "count: wanted a whole"),
    "no draws": (lambda: reverse_kl(student(), maf(), 0), "count: wanted a whole number of 1"),
    "a float of rows": (lambda: fit(maf(), batch_size=16.0), r"batch_size.*Write 16\."),
    "a float of layers": (lambda: distill.maf(SPEC, layers=2.0), r"layers: .*Write 2\."),
    "a float of components": (lambda: MixtureOfGaussians(components=2.0), "components: wanted"),
    "features of none": (
        lambda: maf().sample(3, {"side": torch.ones(3, 1)}),
        "wanted no features, of which its data has none, got side",
    ),
    "features of none, as a tensor": (
        lambda: maf().sample(3, torch.ones(3, 2)),
        "wanted no features, of which its data has none, got Tensor",
    ),
    "a made optimizer": (
        lambda: fit(maf(), optimizer=torch.optim.Adam(maf().parameters())),
        "optimizer: wanted what makes one.*got Adam",
    ),
    "an optimizer of many gradients": (
        lambda: fit(maf(), optimizer=torch.optim.LBFGS),
        "optimizer: wanted one .*got LBFGS",
    ),
    "a rate beside the trainer's": (
        lambda: fit(maf(), optimizer=partial(torch.optim.SGD, lr=5.0)),
        r"optimizer.lr: .*Set learning_rate=5\.0",
    ),
    "a third half": (
        lambda: Coupling(3, MLP(1, 4), keep=5),
        "Coupling: keep: .*from 0 to 1, got 5",
    ),
    "training in no folder": (lambda: fit(maf(), folder=""), "folder: wanted the path .*got ''"),
    "saving nowhere": (lambda: distill.save(maf(), " "), "save: wanted the path"),
    "loading nothing": (lambda: distill.load(""), "checkpoint: wanted the path"),
    "data of no name": (lambda: distill.as_data(""), "as_data: wanted the path"),
    "points of no name": (lambda: Points(""), "a table: wanted the path"),
    "the home of nobody": (lambda: Points("~no.such/x.csv"), "begins with ~NAME, .*a file of that"),
    "a corpus of no name": (lambda: AudioCorpus(""), "data.path: wanted the path"),
    "a folder of exports": (lambda: export.load("."), "wanted the file of an exported"),
    "a module for a model": (lambda: fit(torch.nn.Linear(2, 2)), "fit: wanted a model .*Linear"),
    "a student that draws site after site": (
        lambda: distill.distill(distill.wavenet(SPEC, layers=1), maf(), POINTS),
        "wanted a flow as the student, .*AutoregressiveDensity",
    ),
    "an optimizer's name": (lambda: fit(maf(), optimizer="adam"), "optimizer: wanted.*got str"),
    "an evaluator's class": (lambda: fit(maf(), evaluator=PointsEvaluator), "evaluator: wanted"),
    "an objective's class": (
        lambda: distill.distill(student(), maf(), POINTS, ReverseKL),
        r"as ReverseKL\(\), got the class ReverseKL",
    ),
    "values more precise than the model": (
        lambda: maf().bfloat16().log_prob(torch.zeros(1, 2)),
        r"bfloat16, got float32.*x\.to\(torch\.bfloat16\), or model\.to\(torch\.float32",
    ),
    "an export in half precision": (
        lambda: export.accept(export.PT2(), student().half(), "nowhere"),
        "export: wanted a model in float32 or float64, got float16",
    ),
    "a number for a loss": (lambda: by(lambda ratio: ratio.mean()), "wanted a Loss .* got Tensor"),
    "a loss a row": (lambda: by(lambda ratio: Loss(ratio)), r"for the loss, got shape \(8,\)"),
    "a part a row": (lambda: by(lambda r: Loss(r.mean(), {"r": r})), r"for r, got shape \(8,\)"),
    "another number of rows": (
        lambda: distill.fit(maf(), Odd(lambda size: Batch(torch.randn(7, 2))), **SETTINGS),
        r"Odd\.train_batch: wanted a Batch of 8 values, got 7",
    ),
    "no batch": (
        lambda: distill.fit(maf(), Odd(lambda size: torch.randn(size, 2)), **SETTINGS),
        r"Odd\.train_batch: wanted a Batch of 8 values, got Tensor",
    ),
    "no bound": (lambda: Affine(bound=math.nan), "Affine: bound: wanted a number above 0"),
    "no limit": (lambda: RationalQuadraticSpline(limit=math.nan), "RationalQuadraticSpline"),
    "no floor": (lambda: GaussianHead(min_log_scale=math.nan), "GaussianHead: min_log_scale"),
    "momentum": (lambda: BatchNorm(2, momentum=2.0), "BatchNorm: momentum: wanted"),
    "no windows": (lambda: MultiResolutionSTFT([]), "MultiResolutionSTFT: wanted at least one"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_the_way_out_and_leaves_nothing(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, named = MISTAKES[mistake]
    with pytest.raises(ValueError, match=named):
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "setting", ["level", "trim", "shortest", "silence", "held_out_seconds", "crop", "sample_rate"]
)
def test_a_corpus_with_a_setting_that_is_no_number_is_refused(setting: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"data.{setting}: wanted a"):
        distill.as_data(tmp_path, **{"cache": None, setting: math.nan})


def test_a_step_without_any_term_changes_nothing_and_the_next_one_does() -> None:
    term = {"objective": ReverseKL(), "weight": Ramp(0.0, 1.0)}
    first, model = student(), student()
    first.load_state_dict(model.state_dict())
    for steps, changes in ((1, False), (3, True)):
        distill.distill(model, maf(), POINTS, WeightedSum({"kl": term}), steps=steps, batch_size=8)
        pairs = zip(model.parameters(), first.parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs) == changes


def test_a_model_is_not_its_own_teacher_and_stays_as_it_was() -> None:
    own = student()
    with pytest.raises(ValueError, match="got one model for both"):
        distill.distill(own, own, POINTS, **SETTINGS)
    assert all(p.requires_grad for p in own.parameters())


def test_an_export_read_as_a_checkpoint_is_told_where_it_is_read(tmp_path: Path) -> None:
    for name in ("student.onnx", "student.aoti.pt2"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ValueError, match=r"got an exported sampler.*distill\.export\.load"):
            distill.load(tmp_path / name)


def test_numbers_of_python_are_parts_of_a_loss_in_a_batch_taken_in_parts_too() -> None:
    own = Own(lambda ratio: Loss(ratio.mean(), {"kl": 1.0}))
    distill.distill(student(), maf(), POINTS, own, accumulate=2, **SETTINGS)
