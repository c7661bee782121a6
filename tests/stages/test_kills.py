"""Trainings killed at random moments end where the unbroken run does, to the last digit."""

from __future__ import annotations

import json
import multiprocessing
import random
import runpy
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distill.stages.manifest import COMPLETE, STOPPED, read_manifest
from distill.training import read_checkpoint

KILLS = 13  # of each stage and kind of data, so 52 together
ENDS = 5
STEPS = 40
IMPORTED = ["hydra.main", "torch._dynamo", "distill.data.audio", "distill.evaluation.audio"]
MODELS = {
    "toy": [
        *("data=banana", "data.count=200", "teacher.layers=1", "teacher.hidden=[4]"),
        *("student.layers=1", "student.hidden=[4]", "evaluation.count=60"),
        *("evaluation.watch_count=50", "evaluation.pictures=false"),
    ],
    "tones": [
        *("experiment=tones", "data.count=12", "data.seconds=0.2", "data.crop=1024"),
        *("teacher.layers=2", "teacher.channels=4", "teacher.cycles=1", "student.flows=[1,1]"),
        *(
            "student.channels=4",
            "evaluation.count=2",
            "evaluation.watch_count=2",
            "evaluation.shown=1",
        ),
        *("evaluation.teacher_every=2", "evaluation.watch_seconds=0.1"),
    ],
}


def words(kind: str, role: str, save_every: int, steps: int) -> list[str]:
    """Return the overrides of a small training that looks, averages and keeps as it goes."""
    settings = {"steps": steps, "batch_size": 4, "save_every": save_every, "watch_every": 15}
    settings |= {"log_every": 1, "ema": 0.9, "warmup_steps": 3}
    return [
        *MODELS[kind],
        *(f"{role}_trainer.{key}={value}" for key, value in settings.items()),
        *("threads=1", "resume=true", "device=cpu"),
    ]


def begun(monkeypatch: pytest.MonkeyPatch, role: str, run: Path, typed: list[str]) -> BaseProcess:
    """Start `distill ROLE` in a process of its own, from one that has everything imported."""
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["distill.stages.teacher", "distill.stages.student", *IMPORTED])
    process = context.Process(target=runpy.run_module, args=("distill", None, "__main__"))
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["distill", role, f"run={run}", *typed])
        process.start()
    return process


def finished(process: BaseProcess) -> float:
    """Wait for the end of a training that nobody disturbs; return how long it took."""
    began = time.monotonic()
    process.join(300)
    assert process.exitcode == 0
    return time.monotonic() - began


def disturbed(
    process: BaseProcess,
    disturb: Callable[[], None],
    folder: Path,
    moments: random.Random,
    seconds: float,
) -> bool:
    """Disturb a training at some moment, half of the time after its first step is begun.

    Returns whether it had ended by itself.
    """
    curves = set(folder.glob("events*"))
    if moments.random() < 0.5:
        process.join(moments.uniform(0, seconds))
    else:
        while process.is_alive() and set(folder.glob("events*")) <= curves:
            time.sleep(0.01)
        process.join(moments.uniform(0, seconds / 3))
    disturb()
    process.join()
    return process.exitcode == 0


def results(folder: Path) -> dict[str, Any]:
    numbers = json.loads((folder / "metrics.json").read_text())
    return {key: numbers[key] for key in numbers.keys() - {"seconds", "stage_seconds"}}


def check_same(straight: Path, broken: Path) -> None:
    """Metrics, weights and the optimizer's state are those of the run that nobody broke."""
    assert read_manifest(broken).state == COMPLETE
    assert results(broken) == results(straight)
    first, second = read_checkpoint(straight), read_checkpoint(broken)
    assert all(torch.equal(first.weights[key], second.weights[key]) for key in first.weights)
    before, after = (c.training["optimizer"]["state"] for c in (first, second))
    assert all(torch.equal(before[i][key], after[i][key]) for i in before for key in before[i])
    assert not list(broken.rglob(".*.part*"))


def last_logged(folder: Path) -> int:
    """Return the last step whose loss is in the curves, 0 where there is none."""
    steps = [0]
    for file in folder.glob("events*"):
        events = EventAccumulator(str(file)).Reload()
        if "train/loss" in events.Tags()["scalars"]:
            steps += [event.step for event in events.Scalars("train/loss")]
    return max(steps)


@pytest.fixture(scope="module", params=["toy", "tones"])
def straight(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train both stages once, unbroken; return the kind, the run, and each stage's seconds."""
    run, seconds = tmp_path_factory.mktemp(request.param) / "straight", {}
    with pytest.MonkeyPatch.context() as patch:
        for role in ("teacher", "student"):
            for _ in range(2):  # the first one also starts the process that the others come from
                shutil.rmtree(run / role, ignore_errors=True)
                typed = words(request.param, role, 1, STEPS)
                seconds[role] = finished(begun(patch, role, run, typed))
    return request.param, run, seconds


def fresh(run: Path, number: int, role: str) -> Path:
    """Return a folder for another chain of one training, with the teacher that a student needs."""
    chain = run.with_name(f"chain_{role}_{number}")
    if role == "student":
        shutil.copytree(run / "teacher", chain / "teacher")
    return chain


@pytest.mark.slow
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_trainings_killed_at_any_moment_resume_to_the_same_numbers(straight, role, monkeypatch):
    kind, run, seconds = straight
    moments, told, chains = random.Random(f"{kind} {role}"), Counter(), 0
    typed = words(kind, role, 1, STEPS)
    while told["kills"] < KILLS:
        chain, ended = fresh(run, chains, role), False
        while not ended:
            process = begun(monkeypatch, role, chain, typed)
            ended = disturbed(process, process.kill, chain / role, moments, seconds[role])
            told["kills"] += not ended
            told["within saving"] += bool(list((chain / role).glob(".checkpoint.*.part*")))
            told["in training"] += (chain / role / "checkpoint.pt").is_file() and not ended
            if told["kills"] >= KILLS and not ended:
                finished(begun(monkeypatch, role, chain, typed))
                ended = True
        check_same(run / role, chain / role)
        chains += 1
    print(f"{kind} {role}: {dict(told)}, {chains} chains")
    assert told["in training"] >= 3


@pytest.mark.slow
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_trainings_that_are_asked_to_end_lose_no_step(straight, role, monkeypatch):
    kind, run, seconds = straight
    moments, told, chains = random.Random(f"{kind} {role} end"), Counter(), 0
    typed = words(kind, role, 1000, STEPS)  # nothing is saved but by the signal
    while told["signals"] < ENDS:
        chain, ended, lost = fresh(run, 1000 + chains, role), False, 0
        while not ended:
            process = begun(monkeypatch, role, chain, typed)
            ended = disturbed(process, process.terminate, chain / role, moments, seconds[role])
            if not ended:
                told["signals"] += 1
                folder = chain / role
                saved = (folder / "checkpoint.pt").is_file()
                step = read_checkpoint(folder).training["step"] if saved else 0
                lost = max(lost, last_logged(folder) - step)
                if saved:
                    assert process.exitcode == 143
                    assert read_manifest(folder).state == STOPPED
                    told["in training"] += 1
            if told["signals"] >= ENDS and not ended:
                finished(begun(monkeypatch, role, chain, typed))
                ended = True
        assert lost <= 1
        check_same(run / role, chain / role)
        chains += 1
    print(f"{kind} {role}: {dict(told)}, {chains} chains, most steps lost {lost}")
    assert told["in training"] >= 1
