"""The commands under torchrun: the curve of one process, whoever dies and however many go on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distill.stages.manifest import COMPLETE, read_manifest
from distill.training import read_checkpoint

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are started as on Linux"),
]

STEPS = 200
SAVED = 40
WITHIN = 1e-5
ROOT = Path(__file__).parents[2]
MODELS = {
    "toy": [
        *("data=moons", "data.count=400", "teacher.layers=2", "teacher.hidden=[16]"),
        *("student.layers=2", "student.hidden=[16]", "evaluation.count=60"),
        *("evaluation.watch_count=50", "evaluation.pictures=false"),
    ],
    "tones": [
        *("experiment=tones", "data.count=12", "data.seconds=0.2", "data.crop=1024"),
        *("teacher.layers=2", "teacher.channels=4", "teacher.cycles=1", "student.flows=[1,1]"),
        *("student.channels=4", "evaluation.count=2", "evaluation.watch_count=2"),
        *("evaluation.shown=1", "evaluation.teacher_every=9", "evaluation.watch_seconds=0.1"),
        "objective=gaussian_kl",  # spectral terms are chaotic at the start
    ],
}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]
DISTILL = [sys.executable, "-m", "distill"]


def words(kind: str, role: str, run: Path, **more: object) -> list[str]:
    """Return a stage and the overrides of a small training; 5 rows are shared out unevenly."""
    settings = {"steps": STEPS, "batch_size": 5, "log_every": 1, "save_every": SAVED}
    settings |= {"watch_every": 150, "ema": 0.9, "precision": "float32"}
    if kind == "tones":
        settings["learning_rate"] = 2e-4  # so that a kink which rounding falls beside stays small
    settings |= more
    said = [f"{role}_trainer.{key}={value}" for key, value in settings.items()]
    return [role, f"run={run}", *MODELS[kind], *said, "threads=1", "resume=true", "device=cpu"]


def environment(**more: str) -> dict[str, str]:
    home = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": home, **more}


def train(typed: list[str], count: int = 1) -> None:
    """Run the command, by torchrun where several processes are wanted."""
    start = DISTILL if count == 1 else [*TORCHRUN, str(count), "-m", "distill"]
    done = subprocess.run(
        [*start, *typed], env=environment(), capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-3000:]


def curve(folder: Path) -> dict[int, float]:
    """Return the loss by step."""
    events = EventAccumulator(str(folder), {"scalars": 0}).Reload()
    return {event.step: event.value for event in events.Scalars("train/loss")}


def check_same(plain: Path, other: Path, first: int = 1) -> float:
    """Compare curves from a step on, and what they end in; return the largest difference."""
    assert read_manifest(other).state == COMPLETE
    wanted, found = curve(plain), curve(other)
    assert sorted(wanted) == list(range(1, STEPS + 1))
    assert set(range(first, STEPS + 1)) <= found.keys() <= wanted.keys()
    apart = max(abs(found[step] - wanted[step]) for step in found)
    assert apart <= WITHIN
    weights, mine = read_checkpoint(plain).weights, read_checkpoint(other).weights
    for name, value in weights.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-3, atol=1e-4, msg=name)
    return apart


@pytest.fixture(scope="module", params=list(MODELS))
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator:
    """Train both stages in one process."""
    run = tmp_path_factory.mktemp(request.param) / "alone"
    for role in ("teacher", "student"):
        train(words(request.param, role, run))
    return request.param, run


def beside(run: Path, name: str, role: str) -> Path:
    """Return another run's folder, with the teacher that a student needs."""
    other = run.with_name(f"{name}_{role}")
    if role == "student":
        shutil.copytree(run / "teacher", other / "teacher")
    return other


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_two_processes_give_the_curve_of_one_over_200_steps(alone, role, accumulate):
    kind, run = alone
    other = beside(run, f"two_{accumulate}", role)
    train(words(kind, role, other, accumulate=accumulate), 2)
    apart = check_same(run / role, other / role)
    print(f"{kind} {role}, accumulate={accumulate}: {apart:.1e} apart")


def started(typed: list[str], count: int) -> list[subprocess.Popen[str]]:
    """Start processes as torchrun does, without its agent, which would end them by itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    met = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [*DISTILL, *typed],
            env=environment(RANK=str(rank), LOCAL_RANK=str(rank), **met),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_one_killed_ends_the_other_with_a_line_and_any_number_goes_on(alone, role):
    kind, run = alone
    other = beside(run, "killed", role)
    survivor, victim = started(words(kind, role, other), 2)
    try:
        until = time.monotonic() + 240
        while not (other / role / "checkpoint.pt").is_file():
            assert time.monotonic() < until
            assert survivor.poll() is None, survivor.communicate()[1][-3000:]
            time.sleep(0.05)
        victim.kill()
        began = time.monotonic()
        _, said = survivor.communicate(timeout=60)
        print(f"{kind} {role}: the other ended after {time.monotonic() - began:.1f} s")
    finally:
        for process in (survivor, victim):
            process.kill()
            process.communicate()
    assert survivor.returncode == 2
    told = [line for line in said.splitlines() if line.startswith("distill ")]
    assert len(told) == 1
    assert "another of the 2 processes of this training has ended" in told[0]
    assert "go on with resume=true" in told[0]
    step = read_checkpoint(other / role).training["step"]
    assert SAVED <= step < STEPS
    for count in (1, 2, 3):
        again = other.with_name(f"{other.name}_{count}")
        shutil.copytree(other, again)
        train(words(kind, role, again), count)
        apart = check_same(run / role, again / role, step + 1)
        print(f"{kind} {role}: resumed at step {step} by {count}: {apart:.1e} apart")
