"""What a caller gave stays as it was given, whatever becomes of the caller's buffers."""

from __future__ import annotations

import pytest
import torch

from distill.contract import FeatureSpec
from distill.export import Exported
from distill.export.graph import SamplingGraph
from tests.export.students import CASES, MEL, student


def eager(model) -> Exported:
    graph = SamplingGraph(model)
    return Exported(graph.metadata, torch.no_grad()(graph.forward), "eager")


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("given", [lambda mel: mel, lambda mel: {"mel": mel}], ids=["one", "named"])
def test_a_buffer_filled_again_between_pushes_gives_the_sound_of_the_whole(given, size: int):
    exported = eager(CASES["transposed, logistic"]())
    mel = torch.randn(12, 5, generator=torch.Generator().manual_seed(3))
    buffer, parts = torch.empty(size, 5), []
    stream = exported.stream(seed=1)
    for start in range(0, 12, size):
        buffer.copy_(mel[start : start + size])
        parts.append(stream.push(given(buffer)))
    buffer.zero_()
    parts.append(stream.finish())
    whole = exported.synthesize(mel, seed=1)[0]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-6)


def test_a_vector_filled_again_is_that_of_the_start():
    exported = eager(student({"mel": MEL, "color": FeatureSpec("vector", 3)}, look_ahead=1))
    mel, color = torch.ones(6, 5), torch.tensor([0.5, -1.0, 2.0])
    whole = exported.synthesize({"mel": mel, "color": color}, seed=1)[0]
    stream = exported.stream(seed=1, features={"color": color})
    color.zero_()
    got = torch.cat([stream.push(mel), stream.finish()])
    torch.testing.assert_close(got, whole, rtol=0, atol=1e-6)
