"""Activations are computed again where a gradient passes, and nowhere else, with equal results."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from distill.contract import Batch, DataSpec, FeatureSpec
from distill.models import iaf, maf, standardization, wavenet, wavenet_iaf
from distill.networks import MADE, WaveNet
from distill.networks.wavenet_layer import WaveNetLayer
from distill.objectives import Distillation, Likelihood, ReverseKL
from tests.randomized import randomized

POINTS = DataSpec(sites=3)
SOUND = DataSpec(None, scale=(0.1,), features={"mel": FeatureSpec("frames", 3)}, hop=4)
SHORT = DataSpec(None, scale=(0.1,), features={"mel": FeatureSpec("frames", 3)}, hop=1)
OUTER = {"outer": standardization}
SMALL = {"channels": 4, "last_scale": 1.0}

PAIRS = {
    "flows": lambda again: (
        iaf(POINTS, 2, [8], recompute=again),
        maf(POINTS, 2, [8], recompute=again),
    ),
    "flows with one end": lambda again: (
        iaf(POINTS, 2, [8], recompute=again, **OUTER),
        maf(POINTS, 2, [8], recompute=again, **OUTER),
    ),
    "wavenets": lambda again: (
        wavenet_iaf(SOUND, [2, 2], recompute=again, **SMALL),
        wavenet(SOUND, layers=3, recompute=again, **SMALL),
    ),
    "wavenets over blocks with one end": lambda again: (
        wavenet_iaf(SOUND, [2, 2], block=2, recompute=again, **SMALL, **OUTER),
        wavenet(SOUND, layers=3, block=2, recompute=again, **SMALL, **OUTER),
    ),
    "a context of every site": lambda again: (
        wavenet_iaf(SHORT, [2, 2], recompute=again, **SMALL),
        wavenet(SHORT, layers=3, recompute=again, **SMALL),
    ),
}


def pair(name: str, again: bool):
    torch.manual_seed(0)
    return tuple(randomized(model.double()) for model in PAIRS[name](again))


def batch_of(spec: DataSpec) -> Batch:
    torch.manual_seed(1)
    x = 0.1 * torch.randn(4, spec.sites or 12, dtype=torch.float64)
    mel = torch.randn(4, 12 // spec.hop, 3, dtype=torch.float64)
    return Batch(x, {"mel": mel} if spec.features else None)


@contextmanager
def counting(model: nn.Module) -> Iterator[list[int]]:
    """Count how often the computation of a network, or of a layer of one, begins."""
    calls: list[int] = []
    kinds = (MADE, WaveNetLayer)
    handles = [
        part.register_forward_pre_hook(lambda *_: calls.append(1))
        for part in model.modules()
        if isinstance(part, kinds)
    ]
    yield calls
    for handle in handles:
        handle.remove()


def networks(model: nn.Module) -> int:
    return sum(isinstance(part, MADE | WaveNetLayer) for part in model.modules())


@pytest.mark.parametrize("name", PAIRS)
def test_distillation_computes_both_again_and_has_the_same_gradient(name):
    found = []
    for again in (False, True):
        student, teacher = pair(name, again)
        task = Distillation(student, teacher, ReverseKL()).train()
        torch.manual_seed(2)
        with counting(student) as mine, counting(teacher) as theirs:
            loss = task(batch_of(student.spec), 0.0).value
            assert (len(mine), len(theirs)) == (networks(student), networks(teacher))
            loss.backward()
            factor = 2 if again else 1
            assert len(mine) == factor * networks(student)
            assert len(theirs) == factor * networks(teacher)
        found.append((loss.detach(), [p.grad for p in student.parameters()]))
    (wanted, gradients), (got, again_gradients) = found
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)
    for mine, plain in zip(again_gradients, gradients, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-12, atol=1e-12)
    assert sum(g.abs().sum() for g in gradients) > 1e-3


@pytest.mark.parametrize("name", PAIRS)
def test_likelihood_computes_the_teacher_again_and_has_the_same_gradient(name):
    found = []
    for again in (False, True):
        _, teacher = pair(name, again)
        batch = batch_of(teacher.spec)
        x = batch.x.requires_grad_()
        with counting(teacher) as calls:
            loss = Likelihood(teacher).train()(Batch(x, batch.features), 0.0).value
            loss.backward()
            assert len(calls) == (2 if again else 1) * networks(teacher)
        found.append([x.grad, *(p.grad for p in teacher.parameters())])
    for mine, plain in zip(*found, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", PAIRS)
def test_where_no_gradient_passes_nothing_is_computed_again(name, monkeypatch):
    student, teacher = pair(name, again=True)
    batch = batch_of(student.spec)
    teacher.requires_grad_(False)
    for module in ("distill.bijectors.compose", "distill.networks.wavenet_stack"):
        monkeypatch.setattr(f"{module}.recomputed", lambda *_: pytest.fail("computed again"))
    for mode in (True, False):
        teacher.train(mode).log_prob(batch.x, batch.features)  # frozen, and x is a number
        with torch.no_grad():
            student.train(mode).draw(student.noise(4, sites=batch.x.shape[1]), batch.features)
            teacher.log_prob(batch.x, batch.features)
    teacher.sample(4, batch.features, sites=batch.x.shape[1])


@pytest.mark.parametrize("name", ["wavenets", "a context of every site"])
def test_less_is_kept_for_the_backward_pass(name):
    kept = []
    for again in (False, True):
        _, teacher = pair(name, again)
        batch, sizes = batch_of(teacher.spec), []

        def keep(value, sizes=sizes):
            sizes.append(value.numel())
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            teacher.log_prob(batch.x, batch.features)
        kept.append(sum(sizes))
    assert kept[1] < 0.5 * kept[0]


def test_a_copy_and_a_transform_of_a_model_that_recomputes_work():
    _, teacher = pair("wavenets", again=True)
    batch = batch_of(teacher.spec)
    plain = copy.deepcopy(teacher)
    for part in plain.modules():
        if isinstance(part, WaveNet):
            part.recompute = False

    def score(x, model):
        return model.log_prob(x[None], {"mel": batch.features["mel"][:1]}).sum()

    mine, wanted = (torch.func.grad(score)(batch.x[0], model) for model in (teacher, plain))
    torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("strict", [True, False])
def test_an_exported_graph_has_nothing_of_it(strict):
    student, _ = pair("flows", again=True)
    noise = student.noise(2)
    program = torch.export.export(student.bijector, (noise,), strict=strict)
    assert "checkpoint" not in str(program.graph)
    assert torch.equal(program.module()(noise)[0], student.bijector(noise)[0])


def test_no_state_of_a_generator_is_kept_where_nothing_draws(monkeypatch):
    """Asking for it, on a GPU above all, would cost each step."""
    asked = []
    monkeypatch.setattr(torch, "get_rng_state", lambda: asked.append(1))
    for name in PAIRS:
        _, teacher = pair(name, True)
        batch = batch_of(teacher.spec)
        with counting(teacher) as calls:
            x = batch.x.requires_grad_()
            Likelihood(teacher).train()(Batch(x, batch.features), 0.0).value.backward()
        assert len(calls) == 2 * networks(teacher)
    assert not asked


class Noisy(nn.Module):
    """A layer of the user's own that draws."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        h = self.layer(h)
        return h * torch.rand_like(h)


@pytest.mark.parametrize("wrap", [Noisy, lambda layer: nn.Sequential(layer, nn.Dropout(0.5))])
def test_what_draws_draws_the_same_again(wrap):
    found = []
    for again in (False, True):
        _, teacher = pair("flows", again)
        for made in [part for part in teacher.modules() if isinstance(part, MADE)]:
            name, layer = next((n, p) for n, p in made.named_modules() if isinstance(p, nn.ReLU))
            made.set_submodule(name, wrap(layer))
        torch.manual_seed(3)
        with counting(teacher) as calls:
            loss = Likelihood(teacher).train()(batch_of(teacher.spec), 0.0).value
            loss.backward()
        assert len(calls) == (2 if again else 1) * networks(teacher)
        found.append([p.grad for p in teacher.parameters()])
    for plain, mine in zip(*found, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-12, atol=1e-12)
