"""Mel and F0 alone: the phase is added up, whole and in chunks alike."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.data.audio.mel import LogMel
from distill.data.audio.pitch import Pitch
from distill.export import Exported
from distill.export.graph import SamplingGraph
from distill.export.phase import PhaseLine
from tests.export.students import CASES, HOP, RATE

FRAMES = 23


@pytest.fixture(scope="module")
def exported() -> Exported:
    graph = SamplingGraph(CASES["harmonics"]())
    return Exported(graph.metadata, torch.no_grad()(graph.forward), "eager")


def features() -> dict[str, torch.Tensor]:
    """A glide from 100 Hz to 300 Hz, unvoiced for a while, and a mel."""
    torch.manual_seed(1)
    hertz = torch.linspace(100, 300, FRAMES)
    voiced = (torch.arange(FRAMES) // 5 % 2 == 0).float()
    return {"mel": torch.randn(FRAMES, 5), "f0": torch.stack([hertz.log(), voiced], 1)}


def test_the_phase_is_that_of_integrate_whatever_the_chunks(exported):
    f0 = features()["f0"]
    whole = Pitch().integrate(f0, RATE, LogMel(hop=HOP))
    for size in (1, 4, FRAMES):
        line = PhaseLine(exported.metadata)
        got = torch.cat([line(part[None]) for part in f0.split(size)], 1)
        torch.testing.assert_close(got[0], whole, rtol=0, atol=1e-6)


def test_an_hour_of_frames_keeps_its_phase(exported):
    frames = 3600 * RATE // HOP
    line = PhaseLine(exported.metadata)
    f0 = torch.tensor([[[200.0, 1.0]]]).expand(1, frames, 2).clone()
    f0[..., 0].log_()
    last = line(f0)[0, -1]
    turns = (frames - 1) * HOP * f0[0, 0, 0].double().exp() / RATE
    angle = 2 * torch.pi * turns
    wanted = torch.stack([angle.cos(), angle.sin()]).float()
    torch.testing.assert_close(last, wanted, rtol=0, atol=1e-4)


def test_without_a_phase_synthesize_gives_what_it_gives_with_the_integrated_one(exported):
    short = features()
    phase = Pitch().integrate(short["f0"], RATE, LogMel(hop=HOP))
    wanted = exported.synthesize({**short, "phase": phase}, seed=3)
    torch.testing.assert_close(exported.synthesize(short, seed=3), wanted, rtol=0, atol=1e-5)
    together = torch.cat([short["mel"], short["f0"]], 1)
    torch.testing.assert_close(exported.synthesize(together, seed=3), wanted, rtol=0, atol=1e-5)
    other = exported.synthesize({**short, "phase": phase.roll(1, 1)}, seed=3)
    assert (other - wanted).abs().max() > 1e-3


@settings(max_examples=10, deadline=None)
@given(cuts=st.sets(st.integers(1, FRAMES - 1)))
def test_streams_without_a_phase_do_not_depend_on_their_splits(exported, cuts):
    short = features()
    stream = exported.stream(seed=3)
    edges = sorted({0, FRAMES, *cuts})
    parts = [stream.push({k: v[a:b] for k, v in short.items()}) for a, b in pairwise(edges)]
    got = torch.cat([*parts, stream.finish()])
    wanted = exported.synthesize(short, seed=3)[0]
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)


def test_a_stream_has_the_phase_in_all_of_its_frames_or_in_none(exported):
    short = features()
    stream = exported.stream(seed=3)
    stream.push(short)
    with pytest.raises(
        ValueError, match=r"wanted f0, mel as before, got f0, mel, phase\..*or in none"
    ):
        stream.push({**short, "phase": short["f0"]})


def test_where_no_f0_comes_with_it_the_phase_is_wanted(exported):
    with pytest.raises(ValueError, match="wanted the features mel, f0; got mel"):
        exported.synthesize({"mel": features()["mel"]})
