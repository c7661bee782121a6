"""Any value of any setting: a training is run, or refused in one line."""

from __future__ import annotations

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill.cli import main

from .test_bad_input import QUICK

KEYS = (
    *("seed", "name", "device", "threads", "loss_warmup", "data.count", "data.noise", "data.seed"),
    *(
        "teacher.layers",
        "teacher.hidden",
        "teacher.activation",
        "teacher.recompute",
        "teacher.norm",
    ),
    *(f"teacher_trainer.{key}" for key in ("steps", "batch_size", "learning_rate", "clip", "ema")),
    *(f"teacher_trainer.{key}" for key in ("schedule", "watch_every", "keep", "precision")),
    *(f"teacher_trainer.{key}" for key in ("accumulate", "prefetch", "patience", "warmup_steps")),
    *("evaluation.watch_count", "likelihood.history_noise", "nobody.knows", "teacher._target_"),
)
VALUES = (
    "null",
    "-1",
    "0",
    "1",
    "2.5",
    "nan",
    "inf",
    "1e400",
    "true",
    "[]",
    "[1,a]",
    "{}",
    "{a: 1}",
)
VALUES += ("''", "word", "'two words'", "é", "distill.data.Moons", "9" * 30)


ONE_BY_ONE = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
ANY = {"key": st.sampled_from(KEYS), "value": st.sampled_from(VALUES)}


def check_setting(folder, capsys, key, value):
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    code = main(["teacher", *QUICK, f"run={run}", f"{key}={value}"])
    said = capsys.readouterr().err
    refused = [line for line in said.splitlines() if line.startswith("distill teacher: ")]
    assert code in (0, 2), said
    assert len(refused) == (code == 2), said
    assert "bug" not in said
    assert code == 0 or not (run / "teacher" / "checkpoint.pt").exists()


@settings(max_examples=20, **ONE_BY_ONE)
@given(**ANY)
def test_any_value_of_any_setting_is_run_or_refused_in_a_line(tmp_path, capsys, key, value):
    check_setting(tmp_path, capsys, key, value)


@pytest.mark.slow
@settings(max_examples=300, **ONE_BY_ONE)
@given(**ANY)
def test_many_more_values_are_run_or_refused_in_a_line(tmp_path, capsys, key, value):
    check_setting(tmp_path, capsys, key, value)
