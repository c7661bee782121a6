"""A mel alone, or with F0 in some frames: what is missing is found, whole and in chunks alike."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.export import Exported
from distill.export.graph import SamplingGraph
from tests.export.students import HOP, finding

FRAMES = 23


@pytest.fixture(scope="module")
def exported() -> Exported:
    graph = SamplingGraph(finding())
    return Exported(graph.metadata, torch.no_grad()(graph.forward), "eager")


def features() -> dict[str, torch.Tensor]:
    """A glide from 100 Hz to 300 Hz, unvoiced for a while, and a mel."""
    torch.manual_seed(1)
    hertz = torch.linspace(100, 300, FRAMES)
    voiced = (torch.arange(FRAMES) // 5 % 2 == 0).float()
    return {"mel": torch.randn(FRAMES, 8), "f0": torch.stack([hertz.log(), voiced], 1)}


def test_a_file_says_what_it_can_do_without(exported):
    assert exported.metadata.optional == ("f0", "phase")


def test_samples_are_those_of_the_model(exported):
    model, given = finding(), features()
    noise = exported.noise(1, sites=FRAMES * HOP, seed=2)
    batch = {name: value[None] for name, value in given.items()}
    draw = model.draw(noise, batch)
    x, log_prob = exported(noise, batch)
    assert draw.x.std() > 0.01
    torch.testing.assert_close(x, draw.x.detach(), rtol=0, atol=1e-5)
    torch.testing.assert_close(log_prob, draw.log_prob.detach(), rtol=0, atol=1e-4)
    torch.testing.assert_close(log_prob, model.log_prob(x, batch).detach(), rtol=0, atol=1e-3)


def test_a_missing_feature_is_one_of_nan(exported):
    given = features()
    nowhere = torch.full((FRAMES, 2), math.nan)
    wanted = exported.synthesize({**given, "phase": nowhere}, seed=3)
    assert torch.equal(exported.synthesize(given, seed=3), wanted)
    together = torch.cat([given["mel"], given["f0"]], 1)
    assert torch.equal(exported.synthesize(together, seed=3), wanted)
    alone = exported.synthesize(given["mel"], seed=3)
    assert torch.equal(
        alone, exported.synthesize({"mel": given["mel"], "f0": nowhere, "phase": nowhere}, seed=3)
    )
    assert (alone - wanted).abs().max() > 1e-3


@settings(max_examples=10, deadline=None)
@given(cuts=st.sets(st.integers(1, FRAMES - 1)), told=st.booleans())
def test_streams_do_not_depend_on_their_splits(exported, cuts, told):
    given = features()
    given["f0"][7:12] = math.nan  # some frames go without
    if not told:
        del given["f0"]
    stream = exported.stream(seed=3)
    edges = sorted({0, FRAMES, *cuts})
    parts = [stream.push({k: v[a:b] for k, v in given.items()}) for a, b in pairwise(edges)]
    got = torch.cat([*parts, stream.finish()])
    wanted = exported.synthesize(given, seed=3)[0]
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


def test_the_mel_is_never_optional(exported):
    with pytest.raises(
        ValueError, match=r"wanted the features mel, f0, phase \(f0, phase may be left out\); got"
    ):
        exported.synthesize({"f0": features()["f0"]})
    with pytest.raises(ValueError, match="finite"):
        exported.synthesize({"mel": torch.full((FRAMES, 8), math.nan)})
