"""Several processes, and parts of a batch, give the curve of one process with whole batches."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

PATH = Path(__file__).parent / "ranks.py"
_found = importlib.util.spec_from_file_location("ranks_of_tests", PATH)
assert _found is not None
assert _found.loader is not None
work = importlib.util.module_from_spec(_found)
sys.modules["ranks_of_tests"] = work
_found.loader.exec_module(work)

IN_PARTS = [
    pytest.param(name, marks=pytest.mark.slow) if name == "masked sounds" else name
    for name in work.TASKS
    if name not in work.WHOLE_ONLY
]


SLOW = [name for name in work.TASKS if name not in work.QUICK]
BY_COST = [*work.QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[dict[str, Any]]]:
    """What each of two processes found, which are started once for quick tasks, once for others."""

    @cache
    def started(quick: bool) -> list[dict[str, Any]]:
        names = list(work.QUICK) if quick else SLOW
        return work.start(tmp_path_factory.mktemp("ranks"), names)

    return lambda name: started(name not in SLOW)


@pytest.fixture(scope="module")
def alone() -> Callable[[str], dict[str, Any]]:
    return cache(work.train)


def check_same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert len(got["rows"]) == len(wanted["rows"]) == work.STEPS
    for mine, plain in zip(got["rows"], wanted["rows"], strict=True):
        assert mine.keys() == plain.keys()
        for key, value in plain.items():
            assert mine[key] == pytest.approx(value, rel=2e-5, abs=1e-5), key
    assert got["watched"] == pytest.approx(wanted["watched"], abs=1e-5)
    for key, value in wanted["weights"].items():
        torch.testing.assert_close(got["weights"][key], value, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize("name", BY_COST)
def test_two_processes_give_the_curve_of_one(name, both, alone):
    found = both(name)
    check_same(found[0][name], alone(name))
    for key, value in found[0][name]["weights"].items():
        assert torch.equal(found[1][name]["weights"][key], value), key


@pytest.mark.parametrize("name", IN_PARTS)
def test_a_batch_in_parts_gives_the_curve_of_the_whole(name, alone):
    check_same(work.train(name, accumulate=3), alone(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_PARTS)
def test_two_processes_with_batches_in_parts_give_the_same_curve(name, both, alone):
    check_same(both(name)[0][f"{name}, in parts"], alone(name))


def test_all_leave_out_a_step_that_is_not_finite_in_one(both):
    assert [found["sick"] for found in both("likelihood")] == [1, 1]


def test_an_error_of_one_process_is_raised_in_all_and_told_by_one(both):
    found = both("likelihood")
    assert [each["refused"] for each in found] == ["IndexError", "ToldElsewhereError"]


def test_batch_norm_in_parts_is_refused():
    with pytest.raises(ValueError, match="BatchNorm: wanted the whole batch at once"):
        work.train("batch norm", accumulate=2)


def test_fewer_rows_than_parts_are_refused():
    with pytest.raises(ValueError, match="wanted a row or more for each of 6 parts"):
        work.train("likelihood", accumulate=6)
