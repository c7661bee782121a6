"""A key of an earlier version is refused with its new name; what files recorded is still read."""

import json

import pytest
import torch

import distill
from distill.cli import main
from distill.cli.recorded import recorded_overrides
from distill.renamed import KEYS
from distill.stages.differences import training_difference


@pytest.mark.parametrize("old", KEYS)
def test_an_old_key_is_refused_with_the_new_one(tmp_path, capsys, old):
    assert main(["teacher", f"run={tmp_path}/run", f"{old}=3"]) == 2
    line = capsys.readouterr().err
    assert f"{old}: is now {KEYS[old]}" in line
    assert line.count("\n") == 1


def test_an_old_key_in_a_file_of_ones_own_is_refused_too(tmp_path, capsys):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nwarmup: 3\n")
    words = ["--config-dir", str(tmp_path), f"run={tmp_path}/run", "experiment=mine"]
    assert main(["teacher", *words]) == 2
    assert "warmup: is now loss_warmup" in capsys.readouterr().err


def test_in_python_both_warm_ups_are_named():
    with pytest.raises(ValueError, match=r"loss_warmup.*warmup_steps"):
        distill.fit(distill.maf(distill.DataSpec(sites=2)), torch.randn(20, 2), warmup=3)


def test_a_run_of_an_earlier_version_is_taken_up(tmp_path):
    (tmp_path / "teacher").mkdir()
    texts = ["data=moons", "warmup=3", "++teacher_trainer.warmup=5"]
    (tmp_path / "teacher" / "overrides.json").write_text(json.dumps(texts))
    assert recorded_overrides("student", [f"run={tmp_path}"]) == [
        "data=moons",
        "loss_warmup=3",
        "++teacher_trainer.warmup_steps=5",
    ]
    old = {"warmup": 3, "teacher_trainer": {"warmup": 5}}
    new = {"loss_warmup": 3, "teacher_trainer": {"warmup_steps": 5}}
    assert training_difference(old, new, "teacher") is None
    other = training_difference(old, {**new, "loss_warmup": 2}, "teacher")
    assert other == "loss_warmup=2 in place of 3"
