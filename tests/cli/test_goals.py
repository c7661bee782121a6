"""Sweeps that search: what they are told of each job, and the page and table they end in."""

from __future__ import annotations

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distill.cli import main
from distill.cli.goals import UnknownGoalError, reached, without_goals

from .test_bad_input import QUICK

OPTUNA = "hydra/sweeper=optuna"


@pytest.mark.parametrize(
    ("typed", "multirun", "told"),
    [
        (["goal=kl"], True, "goal=kl: wanted -m and a sweeper that searches"),
        (["goal=kl", OPTUNA], False, "goal=kl: wanted -m and a sweeper that searches"),
        (["goal=kl", "hydra/sweeper=basic"], True, "wanted -m and a sweeper that searches"),
        ([OPTUNA, "seed=1,2"], True, "hydra/sweeper: wanted goal=METRIC beside it"),
        (["goal=a", "goal=b", OPTUNA], True, "goal: set twice, by goal=a and goal=b"),
        (["goal=[]", OPTUNA], True, "goal: wanted a metric or several, got none"),
    ],
)
def test_goals_and_searches_want_each_other(typed, multirun, told):
    with pytest.raises(ValueError, match=told):
        without_goals(typed, multirun)


def test_several_goals_are_reached_in_their_order():
    rest, goals = without_goals([OPTUNA, "goal=[student/kl, seconds]", "seed=1,2"])
    assert (rest, goals) == ([OPTUNA, "seed=1,2"], ["student/kl", "seconds"])
    found = {"evaluate/student/kl": 0.5, "teacher/seconds": 3, "student/steps": 9.0}
    assert reached(goals, found) == [0.5, 3.0]
    assert reached(goals[:1], found) == 0.5


def test_a_goal_that_no_job_can_reach_is_told_from_one_that_this_did_not():
    found = {"teacher/nll": 1.0, "student/nll": None, "student/kl": None}
    with pytest.raises(UnknownGoalError, match="goal=kk: no run has such a metric"):
        reached(["kk"], found)
    with pytest.raises(UnknownGoalError, match="means 2 metrics: teacher/nll, student/nll"):
        reached(["nll"], found)
    with pytest.raises(ValueError, match="goal=kl: wanted a finite number") as caught:
        reached(["kl"], found)
    assert not isinstance(caught.value, UnknownGoalError)


def test_a_sweeper_that_is_not_installed_is_said_with_the_extra(capsys, monkeypatch, tmp_path):
    words = ["teacher", "hydra/sweeper=elsewhere", "goal=kl", f"run={tmp_path}", "-m", "seed=1,2"]
    assert main(words) == 2
    assert "pip install 'distill[sweep]'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_over_objectives_and_weights_ends_in_one_page_and_one_table(tmp_path, capfd):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    run, page = tmp_path / "r", tmp_path / "page"
    words = ["pipeline", *QUICK, "student.hidden=[4]", "threads=1"]
    words += ["evaluation.count=60", "~exports.pt2", "benchmark.student=[eager]", "resume=true"]
    words += ["objective=covering_kl", "objective.terms.forward.objective.pool=20"]
    words += [f"run={run}", f"hydra.sweep.dir={run}", OPTUNA, "hydra.sweeper.n_trials=3"]
    words += ["hydra.sweeper.n_jobs=1", "hydra.sweeper.sampler.seed=1", "-m"]
    words += ["goal=evaluate/student/kl_reverse"]
    words += ["objective.terms.reverse.weight.stop=interval(0.0,1.0)", "student.layers=1,2"]
    assert main(words) == 0, capfd.readouterr().err
    best = yaml.safe_load((run / "optimization_results.yaml").read_text())
    capfd.readouterr()
    shown = ["metrics=[evaluate/student/kl_reverse]", "sort=evaluate/student/kl_reverse"]
    assert main(["compare", str(run), *shown, "transpose=true", f"tensorboard={page}"]) == 0
    table = capfd.readouterr().out
    head, _, first, *others = table.strip().splitlines()
    assert "objective.terms.reverse.weight.stop" in head
    assert len(others) == 2
    assert f"{best['best_value']:.4g}" in first
    assert str(best["best_params"]["objective.terms.reverse.weight.stop"]) in first
    values = [
        EventAccumulator(str(folder)).Reload().Scalars("evaluate/student/kl_reverse")[0].value
        for folder in page.iterdir()
        if folder.is_dir()
    ]
    assert min(values) == pytest.approx(best["best_value"])
    # Said again it goes through the same points, and keeps what is there.
    assert main(words) == 0
    assert capfd.readouterr().out.count("evaluate: finished, kept") == 3
