"""Sessions in Python: processes meet, one session after the other, or say why they don't."""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from distill import Flow, as_data, distill, iaf
from distill.cli.app import main
from distill.objectives import ReverseKL
from distill.sharing import count_of

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
import numpy as np, torch
import distill
from distill.training import session

points = np.random.default_rng(0).normal(size=(200, 2))
data = distill.as_data(points)
torch.manual_seed(0)
teacher = distill.maf(data.spec, layers=1, hidden=[8])
student = distill.iaf(data.spec, layers=1, hidden=[8])
with session():
    teacher = distill.fit(teacher, data, steps=3, batch_size=5)
with session() as ranks:
    student = distill.distill(student, teacher, data, steps=3, batch_size=5)
print(json.dumps(student.sample(2, seed=0).tolist()))
"""


def environment(**more: str) -> dict[str, str]:
    home = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": home, **more}


def started(rank: int, count: int, port: int, script: str = SCRIPT) -> subprocess.Popen[str]:
    met = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    met |= {"RANK": str(rank), "WORLD_SIZE": str(count)} if count > 1 else {}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", script], env=environment(**met), **pipes)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_sessions_follow_each_other_and_give_the_model_of_one_process():
    port = free_port()
    both = [started(rank, 2, port) for rank in range(2)]
    said = [process.communicate(timeout=200) for process in both]
    alone = json.loads(started(0, 1, port).communicate(timeout=100)[0].splitlines()[-1])
    for process, (out, err) in zip(both, said, strict=True):
        assert process.returncode == 0, err[-3000:]
        assert "FutureWarning" not in err
        (first, *_), (wanted, *_) = json.loads(out.splitlines()[-1]), alone
        assert first == pytest.approx(wanted, abs=1e-5)


def test_who_waits_for_others_that_do_not_come_hears_a_signal():
    process = started(
        0,
        2,
        free_port(),
        SCRIPT.replace("with session():", "print('here', flush=True)\nwith session():"),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in err


def test_training_alone_beside_others_is_said():
    script = SCRIPT.replace("with session():", "if True:").split("with session()")[0]
    _, err = started(0, 2, free_port(), script).communicate(timeout=100)
    assert "note: 2 processes were started" in err


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({"RANK": "0", "WORLD_SIZE": "two"}, "WORLD_SIZE: wanted a whole number of 1 or more"),
        ({"RANK": "zero", "WORLD_SIZE": "2"}, "RANK: wanted a whole number from 0 below 2"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "RANK: wanted a whole number from 0 below 2, got 2"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "WORLD_SIZE: wanted a whole number of 1 or more"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR, MASTER_PORT: wanted where"),
        ({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "here"}, "MASTER_PORT: wanted where"),
    ],
)
def test_variables_of_torchrun_that_can_not_be_are_named(said, names, monkeypatch, capsys):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert main(["teacher", "experiment=moons"]) == 2
    told = capsys.readouterr().err
    assert names in told
    assert told.count("\n") == 1
    assert "unset RANK" in told


def test_trainings_in_threads_take_turns_and_give_what_each_gives_alone():
    data = as_data(np.random.default_rng(0).normal(size=(200, 2)))

    normal = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    first = iaf(data.spec, layers=1, hidden=[8])

    def trained(student: Flow) -> list[list[float]]:
        settings = {"steps": 40, "batch_size": 16, "learning_rate": 0.05}
        return distill(student, normal, data, ReverseKL(), **settings).sample(2, seed=0).tolist()

    others = [copy.deepcopy(first) for _ in range(2)]
    alone = trained(first)
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(trained, others)) == [alone, alone]


def test_empty_variables_are_those_of_one_process(monkeypatch):
    monkeypatch.setenv("RANK", "")
    monkeypatch.setenv("WORLD_SIZE", "")
    assert count_of() == 1
