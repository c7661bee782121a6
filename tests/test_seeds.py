"""One rule for seeds, wherever one is given: a whole number from 0 to 2^63 - 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import distill
from distill.checks import check_seed
from distill.contract import DataSpec
from distill.data import Moons
from distill.export import Exported
from distill.export.graph import SamplingGraph

VALUES = torch.randn(30, 2).numpy()


def exported() -> Exported:
    graph = SamplingGraph(distill.iaf(DataSpec(sites=2), layers=1, hidden=[4]))
    return Exported(graph.metadata, graph, "eager")


TAKERS: dict[str, Callable[[Any], Any]] = {
    "student": lambda seed: distill.iaf(DataSpec(2), layers=1, hidden=[4]).sample(1, seed=seed),
    "teacher": lambda seed: distill.maf(DataSpec(2), layers=1, hidden=[4]).sample(1, seed=seed),
    "export": lambda seed: exported().sample(1, seed=seed),
    "data": lambda seed: distill.as_data(VALUES, seed=seed),
    "moons": lambda seed: Moons(50, seed=seed),
    "fit": lambda seed: distill.fit(
        distill.maf(DataSpec(2), layers=1, hidden=[4]), VALUES, seed=seed, steps=1, batch_size=4
    ),
}


@pytest.mark.parametrize("seed", [-1, 1.5, True, 2**63, "1"])
@pytest.mark.parametrize("taker", TAKERS)
def test_a_seed_out_of_range_is_refused_alike(taker, seed):
    with pytest.raises(ValueError, match=r"seed: wanted a whole number from 0 to 2\^63 - 1, got"):
        TAKERS[taker](seed)


@pytest.mark.parametrize("taker", ["student", "export", "data"])
def test_the_largest_seed_is_taken(taker):
    check_seed(2**63 - 1)
    assert TAKERS[taker](2**63 - 1) is not None
