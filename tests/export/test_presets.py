"""Every student preset of sound streams: chunks are the whole, eager and exported."""

from __future__ import annotations

import pytest
import torch

from distill.contract import Features
from distill.export import Exported, accept, load
from distill.export.graph import SamplingGraph, example_inputs
from distill.export.verify import in_chunks
from distill.models import Flow
from tests.export.students import BACKENDS
from tests.stages.test_student_presets import HOP, OVER_BLOCKS, preset, presets

PRESETS = presets()
FITTING = ("++student.block=8",)  # frames here have 8 samples
SMALL = ["++student.flows=[2,1]", "++student.cycle=2", "++student.channels=16"]
CHUNKS = (1, 2, 3, 7, 50)


def flow_of(case: str, *overrides: str) -> Flow:
    """Build a preset whose samples are of the size of sound."""
    fitting = FITTING if case.removeprefix("student=") in OVER_BLOCKS else ()
    flow = preset([*PRESETS[case], *fitting, *overrides])[0].float().eval().requires_grad_(False)
    for name, value in flow.named_parameters():
        if ".last." in name:
            value.mul_(0.1)
    return flow


def inputs(exported: Exported) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return noise and features of as many sites as 53 frames have."""
    frames = 53 * HOP // exported.metadata.spec.hop
    return example_inputs(exported.metadata, 1, 0, frames, torch.float32)


def whole(flow: Flow, noise: torch.Tensor, features: Features) -> torch.Tensor:
    with torch.no_grad():
        return flow.draw(noise, features or None).x


def check_chunks(exported: Exported, flow: Flow) -> None:
    noise, features = inputs(exported)
    x = whole(flow, noise, features)
    assert 0.05 < x.std() < 5
    for chunk in CHUNKS:
        got, _ = in_chunks(exported, noise, features, [chunk * HOP // exported.metadata.spec.hop])
        torch.testing.assert_close(got, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", PRESETS)
def test_chunks_of_any_size_are_the_whole_utterance(case: str) -> None:
    flow = flow_of(case)
    graph = SamplingGraph(flow)
    check_chunks(Exported(graph.metadata, torch.no_grad()(graph.forward), "eager"), flow)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", PRESETS)
def test_so_they_are_in_every_backend(case: str, backend: str, tmp_path) -> None:
    flow = flow_of(case, *SMALL)
    check_chunks(load(accept(BACKENDS[backend](), flow, tmp_path)[0]), flow)
