"""A classifier in an objective or an evaluation is a part of what a run was made from."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from distill.contract import DataSpec
from distill.models import iaf
from distill.models.checkpoint import save
from distill.stages.claims import StaleError, claim
from distill.stages.judges import judges_of
from distill.training import Checkpoint


def test_another_classifier_makes_stale_what_was_trained_by_the_first(tmp_path):
    folder, student = tmp_path / "classifier", tmp_path / "student"
    spec = DataSpec(sites=2)
    save(iaf(spec, layers=1, hidden=[4]), folder)
    terms = {"style": {"classifier": {"_target_": "a", "path": str(folder)}}}
    mine = {"seed": 0, "objective": {"terms": terms}, "student_trainer": {"steps": 3}}
    first = judges_of(mine["objective"])
    assert list(first) == ["classifier"]
    assert judges_of({"classifier": str(folder)}) == first  # as an evaluation names it
    made_from = {"data": {}, **first}
    training = {"model": {}, "optimizer": {}, "best_weights": {}, "best": 0.0, "step": 1}
    training |= {"skipped": 0, "waited": 0, "precision": "float32"}
    Checkpoint("student", mine, spec, {}, training, made_from).save(student)
    config = OmegaConf.create({"run": str(tmp_path), "resume": True, "overwrite": False})
    assert claim(config, student, "student", mine, made_from) is not None
    save(iaf(spec, layers=1, hidden=[5]), folder)
    second = judges_of(mine["objective"])
    assert second != first
    with pytest.raises(StaleError, match="another classifier in its objective"):
        claim(config, student, "student", mine, {"data": {}, **second})
