"""What evaluators, folders and encoders of a training in Python may not be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import distill
from distill.contract import DataSpec, FeatureSpec
from distill.data import Moons
from distill.evaluation import Evaluator

DATA = Moons(count=200)
SETTINGS: dict[str, Any] = {"steps": 2, "batch_size": 8}


class Numbers(Evaluator):
    """Returns a dictionary, as one may think."""

    def watch(self, model: Any, data: Any, seed: int, teacher: Any = None) -> Any:
        return {"one": 1.0}


def maf() -> Any:
    return distill.maf(DATA.spec, layers=1, hidden=[4])


def iaf() -> Any:
    return distill.iaf(DATA.spec, layers=1, hidden=[4])


def test_an_evaluator_that_returns_no_report_is_named():
    wanted = r"evaluator: wanted a Report .* from Numbers, got dict\. Return Report\(scalars="
    with pytest.raises(ValueError, match=wanted):
        distill.fit(maf(), DATA, evaluator=Numbers(), **SETTINGS)
    with pytest.raises(ValueError, match=wanted):
        distill.distill(iaf(), maf(), DATA, evaluator=Numbers(), **SETTINGS)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_folder_where_a_file_is_is_named(tmp_path: Path, below: str):
    file = tmp_path / "notes"
    file.write_text("")
    with pytest.raises(NotADirectoryError, match=r"folder: wanted a folder .* is a file\. Name"):
        distill.fit(maf(), DATA, folder=file / below, **SETTINGS)


@pytest.mark.parametrize("given", ["copied", "own copy"])
def test_an_encoder_that_can_not_be_taken_is_called_as_in_python(given: str):
    with pytest.raises(ValueError, match=r"^encoder "):
        distill.distill(iaf(), maf(), DATA, encoder=given, **SETTINGS)


def test_one_row_of_features_for_many_values_is_told_how_to_spread_it():
    spec = DataSpec(2, features={"place": FeatureSpec("vector", 3)})
    model = distill.maf(spec, layers=1, hidden=[4])
    one = torch.zeros(1, 3)
    with pytest.raises(ValueError, match=r"a row for each value: one for all by \.expand\(count"):
        model.sample(4, {"place": one})
    assert model.sample(4, {"place": one.expand(4, -1)}).shape == (4, 2)


def test_packages_need_no_import_of_their_own():
    code = "import distill; distill.training.session, distill.evaluation.Report, distill.data.Moons"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'trainings'"):
        distill.trainings  # noqa: B018
