"""The classifier of raw audio."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from distill.contract import Batch, DataSpec, FeatureSpec
from distill.instantiate import build
from distill.models.classifier import Classifier
from distill.objectives.classification import Classification

SPEC = DataSpec(sites=None, scale=(0.1,), features={"label": FeatureSpec("label", 3)})


def small(**settings: int) -> Classifier:
    torch.manual_seed(0)
    return Classifier(SPEC, **{"channels": 8, "layers": 2, "reduction": 4, **settings})


@pytest.mark.parametrize("reduction", [4, 8, 16])
def test_activations_are_at_the_reduced_rate(reduction):
    classifier = small(reduction=reduction, layers=3)
    values = classifier.activations(torch.randn(2, 160))
    assert [tuple(v.shape) for v in values] == [(2, 8, 160 // reduction)] * 3


def test_padding_of_whole_rows_does_not_change_the_logits_much():
    classifier = small().double().eval()
    x = 0.1 * torch.randn(2, 400, dtype=torch.float64)
    padded = torch.cat([x, torch.randn(2, 400, dtype=torch.float64)], 1)
    mask = (torch.arange(800) < 400).double().expand(2, -1)
    loud = torch.cat([x, 9 * torch.randn(2, 400, dtype=torch.float64)], 1)
    # What the mask hides is never heard; padding only moves the edges of the normalization.
    assert torch.equal(classifier(padded, mask), classifier(loud, mask))
    assert not torch.allclose(classifier(padded), classifier(loud))


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
        small(reduction=6)
    with pytest.raises(ValueError, match="odd kernel"):
        small(kernel=4)


def test_it_learns_to_tell_pitches_apart():
    classifier = small()
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
    x = torch.randn(8, 800)
    with torch.autocast("cpu", torch.bfloat16):
        half = classifier(x)
    full = classifier(x)
    assert half.dtype == torch.float32
    assert 0 < (half - full).abs().max() < 0.05 * full.std()
