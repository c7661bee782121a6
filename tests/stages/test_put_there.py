"""What users put into a run by hand is used, or refused in one line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import distill
from distill.cli import main
from tests.stages.test_pipeline_resumed import quickly
from tests.stages.test_what_is_typed import refused


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run whose models were made in Python."""
    place = tmp_path_factory.mktemp("put")
    spec = distill.as_data(torch.randn(200, 2)).spec
    distill.save(distill.maf(spec, layers=1, hidden=[4]), place / "run" / "teacher")
    distill.save(distill.iaf(spec, layers=1, hidden=[4]), place / "run" / "student")
    with quickly():
        yield place


@pytest.mark.parametrize("stage", ["student", "evaluate"])
def test_a_model_saved_in_python_tells_no_stage_its_data(place, capsys, stage):
    line = refused(capsys, place, stage, "run=PLACE/run", "overwrite=true")
    assert "was saved in Python, and doesn't say its data" in line


@pytest.mark.parametrize("stage", ["teacher", "pipeline"])
def test_a_model_saved_in_python_is_not_resumed(place, capsys, stage):
    line = refused(capsys, place, stage, "run=PLACE/run", "resume=true")
    assert "holds a model that doesn't say how it was trained" in line


def test_a_student_saved_in_python_is_exported_and_sampled(place, tmp_path):
    run = shutil.copytree(place / "run", tmp_path / "run")
    assert main(["export", f"run={run}"]) == 0
    assert main(["sample", f"run={run}", "count=3"]) == 0


@pytest.mark.parametrize("stage", ["export", "benchmark"])
def test_a_students_place_wants_what_draws_in_parallel(tmp_path, capsys, stage):
    model = distill.wavenet(distill.as_data(torch.randn(20, 2)).spec, layers=1, channels=4)
    for role in ("teacher", "student"):
        distill.save(model, tmp_path / role)
    assert "student: wanted a flow" in refused(capsys, tmp_path, stage, "run=PLACE")


@pytest.mark.parametrize("content", ["[1, 2]", "3", "{", "null"])
def test_numbers_that_are_none_are_as_if_not_there(place, tmp_path, content):
    run = shutil.copytree(place / "run", tmp_path / "run")
    for folder in (run, run / "teacher"):
        (folder / "metrics.json").write_text(content)
    assert main(["compare", str(run)]) == 0


@pytest.mark.parametrize("words", [["teacher", "run=~no.such/x"], ["sample", "output=~no.such/x"]])
def test_the_home_of_nobody_is_no_bug(place, capsys, words):
    stage, *typed = words
    where = [] if "run=" in typed[0] else ["run=PLACE/run"]
    assert "begins with ~NAME, and there is no" in refused(capsys, place, stage, *typed, *where)
