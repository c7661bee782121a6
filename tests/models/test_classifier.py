"""The classifier of raw audio."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from distill.contract import Batch, DataSpec, FeatureSpec
from distill.instantiate import build
from distill.models.classifier import Classifier
from distill.networks import LogMelFront, StridedFront
from distill.objectives.classification import Classification
from tests.half_precision import check_bfloat16

SPEC = DataSpec(
    sites=None, scale=(0.1,), sample_rate=8_000, features={"label": FeatureSpec("label", 3)}
)
FRONTS = {"samples": StridedFront, "log-mel": partial(LogMelFront, noise=0.0, masks=0)}


def small(**settings: object) -> Classifier:
    torch.manual_seed(0)
    return Classifier(SPEC, **{"channels": 8, "layers": 2, **settings})


@pytest.mark.parametrize("reduction", [4, 8, 16])
def test_activations_are_at_the_reduced_rate(reduction):
    classifier = small(front=partial(StridedFront, reduction=reduction), layers=3)
    values = classifier.activations(torch.randn(2, 160))
    assert [tuple(v.shape) for v in values] == [(2, 8, 160 // reduction)] * 3


@pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
def test_what_fills_a_batch_up_changes_nothing(front):
    classifier = small(front=front).double().eval()
    x = 0.1 * torch.randn(2, 413, dtype=torch.float64)
    loud = torch.cat([x, 9 * torch.randn(2, 400, dtype=torch.float64)], 1)
    mask = (torch.arange(813) < 413).double().expand(2, -1)
    torch.testing.assert_close(classifier(loud, mask), classifier(x))
    assert not torch.allclose(classifier(loud), classifier(x))


def test_a_log_mel_front_does_not_judge_by_level():
    classifier = small(front=LogMelFront).double().eval()
    x = torch.randn(2, 640, dtype=torch.float64)
    torch.testing.assert_close(classifier(x), classifier(0.3 * x), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(classifier(x), classifier(x + x.roll(1, 1)), atol=1e-2)


def test_a_log_mel_front_disturbs_spectra_in_training_only():
    front = LogMelFront(8, 8_000)
    x, heard = torch.randn(2, 1, 640), torch.ones(2, 1, 640)
    assert not torch.equal(front(x, heard), front(x, heard))
    front.eval()
    assert torch.equal(front(x, heard), front(x, heard))


def test_silence_has_a_finite_gradient():
    x = torch.zeros(1, 640, requires_grad=True)
    small(front=LogMelFront)(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_any_length_is_heard():
    classifier = small().eval()
    for sites in (1, 3, 17, 400):
        assert classifier(torch.randn(2, sites)).isfinite().all()


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="label"):
        Classifier(DataSpec(sites=None))
    with pytest.raises(ValueError, match="speaker"):
        Classifier(SPEC, target="speaker")
    with pytest.raises(ValueError, match="reduction"):
        small(front=partial(StridedFront, reduction=6))
    with pytest.raises(ValueError, match="hop <= window"):
        small(front=partial(LogMelFront, hop=0.1))
    with pytest.raises(ValueError, match="noise and masks"):
        small(front=partial(LogMelFront, masks=-1))
    with pytest.raises(ValueError, match="sample rate"):
        LogMelFront(8, None)
    with pytest.raises(ValueError, match="odd kernel"):
        small(kernel=4)


@pytest.mark.parametrize("front", [StridedFront, LogMelFront])
def test_it_learns_to_tell_pitches_apart(front):
    classifier = small(front=front)
    task = Classification(classifier).train()
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-2)
    at = torch.arange(320)

    def batch(seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(3, (24,), generator=generator)
        phase = 6.3 * torch.rand(24, 1, generator=generator)
        tones = torch.sin((0.1 + 0.2 * labels[:, None]) * at + phase)
        level = 0.05 + 0.1 * torch.rand(24, 1, generator=generator)
        return Batch(level * tones, {"label": labels})

    for step in range(40):
        loss = task(batch(step), 0.0)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
    final = task.eval()(batch(1000), 1.0)
    assert final.parts["accuracy"] > 0.9
    assert torch.equal(final.value, task(batch(1000), 1.0).value)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "conf" / "classifier").glob("*.yaml"))
)
def test_every_yaml_builds(path):
    assert isinstance(build(OmegaConf.load(path), spec=SPEC), Classifier)


def test_mixed_precision_gives_nearly_the_same_logits():
    spec = DataSpec(sites=None, features={"label": FeatureSpec("label", 3)})
    classifier = Classifier(spec, layers=3).eval()
    check_bfloat16(classifier, torch.randn(8, 800))
