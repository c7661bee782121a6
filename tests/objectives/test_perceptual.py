"""The perceptual term."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from distill.contract import Batch, DataSpec, FeatureSpec
from distill.instantiate import build
from distill.models import Flow, wavenet, wavenet_iaf
from distill.models.classifier import Classifier
from distill.networks import StridedFront
from distill.objectives import Distillation, WeightedSum
from distill.objectives.perceptual import Perceptual

SPEC = DataSpec(
    sites=None, scale=(0.1,), features={"label": FeatureSpec("label", 3)}, sample_rate=1000
)
CONF = Path(__file__).parents[2] / "conf" / "objective" / "perceptual.yaml"
LABELS = {"label": torch.tensor([0, 2])}


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(SPEC, channels=8, layers=2, front=partial(StridedFront, reduction=4))


@pytest.fixture
def student() -> Flow:
    torch.manual_seed(1)
    return wavenet_iaf(SPEC, flows=[2], channels=8)


def value(objective: Perceptual, student: Flow, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    draw = student.draw(student.noise(len(x), sites=x.shape[1], seed=0), LABELS)
    draw = type(draw)(x, draw.noise, draw.log_det, draw.log_prob)
    return objective(draw, student, student, Batch(y, LABELS), 0.0).value


@pytest.mark.parametrize("form", ["gram", "features"])
def test_it_is_zero_for_the_recording_and_has_a_gradient_elsewhere(classifier, student, form):
    objective = Perceptual(classifier, form)
    y = 0.1 * torch.randn(2, 400)
    assert value(objective, student, y, y) == 0
    x = (0.1 * torch.randn(2, 400)).requires_grad_()
    far = value(objective, student, x, y)
    far.backward()
    assert far > 0
    assert x.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in classifier.parameters())


def test_gram_matrices_forget_when_something_sounds(classifier, student):
    at = torch.arange(1600)
    x = 0.1 * torch.sin(0.3 * at).expand(2, -1)
    later = 0.1 * torch.sin(0.3 * at + 1.0).expand(2, -1)
    gram = value(Perceptual(classifier, "gram"), student, later, x)
    features = value(Perceptual(classifier, "features"), student, later, x)
    assert gram < 0.05 * features


def test_silence_gives_finite_gradients(classifier, student):
    x = torch.zeros(2, 400, requires_grad=True)
    value(Perceptual(classifier), student, x, torch.zeros(2, 400)).backward()
    assert x.grad.isfinite().all()


def test_training_leaves_the_classifier_alone(classifier, student):
    teacher = wavenet(SPEC, layers=2, channels=8)
    before = {k: v.clone() for k, v in classifier.state_dict().items()}
    task = Distillation(student, teacher, WeightedSum({"heard": Perceptual(lambda: classifier)}))
    task.train()
    assert not classifier.training
    loss = task(Batch(0.1 * torch.randn(2, 400), LABELS), 0.0)
    assert loss.parts["heard/distance"] == loss.value.detach()
    loss.value.backward()
    torch.optim.Adam([p for p in task.parameters() if p.requires_grad]).step()
    assert all(torch.equal(v, before[k]) for k, v in classifier.state_dict().items())


def test_what_does_not_fit_is_refused(classifier, student):
    with pytest.raises(ValueError, match="gram, features"):
        Perceptual(classifier, "sound")
    with pytest.raises(ValueError, match="wanted a Classifier, got Flow"):
        Perceptual(student)
    other = wavenet_iaf(DataSpec(sites=None, sample_rate=8000), flows=[2], channels=8)
    with pytest.raises(ValueError, match="8000 Hz"):
        Perceptual(classifier).check(other, other)


def test_the_yaml_builds_without_a_classifier_and_says_where_it_looked(student, tmp_path):
    config = OmegaConf.merge({"run": str(tmp_path)}, {"objective": OmegaConf.load(CONF)})
    objective = build(config.objective)
    with pytest.raises(ValueError, match="distill classifier"):
        dict(objective.named_terms())["perceptual"].check(student, student)
