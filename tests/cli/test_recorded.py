"""What later stages take up from a run."""

from __future__ import annotations

import json

import pytest

from distill.cli.recorded import recorded


@pytest.fixture
def run(tmp_path):
    (tmp_path / "teacher").mkdir()
    said = ["experiment=moons", "run=x", "data=points", "++data.path=a.csv", "seed=3"]
    (tmp_path / "teacher" / "overrides.json").write_text(json.dumps(said))
    return tmp_path


def test_a_later_stage_takes_up_what_the_run_was_made_with(run):
    assert recorded("evaluate", [f"run={run}"]) == [
        "experiment=moons",
        "data=points",
        "++data.path=a.csv",
    ]
    assert recorded("sample", [f"run={run}/teacher"])[0] == "experiment=moons"


def test_what_is_said_now_goes_first(run):
    assert recorded("evaluate", [f"run={run}", "data.path=b.csv"]) == [
        "experiment=moons",
        "data=points",
    ]
    assert recorded("evaluate", [f"run={run}", "data=rings"]) == ["experiment=moons"]
    assert recorded("evaluate", [f"run={run}", "experiment=moons"]) == []


def test_a_stage_that_starts_a_run_takes_up_nothing(run):
    assert recorded("teacher", [f"run={run}"]) == []
    assert recorded("evaluate", []) == []
