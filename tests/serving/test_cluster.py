"""Replicas that join a Ray cluster: the same sound, and the cluster as it was after them."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from distill.cli import main

from .conftest import connect, exchange, opened
from .test_crowd import members
from .test_replicas import _command, seen
from .test_server import npy, post

ROOT = Path(__file__).parents[2]
NO_RAY = importlib.util.find_spec("ray") is None
LOOPBACK = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
"""Of a cluster that strangers can't reach, and of those who join it."""
JOBS = """
import ray, sys
from ray import serve
ray.init(address=sys.argv[1], log_to_driver=False)
print(ray.get(ray.remote(lambda: 41).remote()) + 1, dict(serve.status().proxies))
"""


def test_a_cluster_wants_a_number_of_replicas(student, capsys):
    assert main(["serve", f"file={student}", "cluster=auto", "port=0"]) == 2
    assert "cluster=auto: wanted replicas=N beside it" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(NO_RAY, reason="no ray")
@pytest.mark.parametrize(
    ("address", "told"),
    [("auto", "no Ray to join"), ("127.0.0.1:9", "nothing answers there"), ("x", "HOST:PORT")],
)
def test_no_cluster_is_said_in_a_line(student, address, told):
    words = ["serve", f"file={student}", "replicas=2", "port=0", f"cluster={address}"]
    done = subprocess.run(
        [sys.executable, "-m", "distill", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("distill "))
    assert f"cluster={address}: " in line
    assert told in line


def ended(process: subprocess.Popen[str]) -> None:
    """End a process and all below it."""
    below = members(process.pid)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(60)
    for left in below:
        with contextlib.suppress(ProcessLookupError):
            os.kill(left, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Start a cluster of this machine, on loopback; yield its address and its process."""
    words = ["start", "--head", "--block", "--port=0", "--node-ip-address=127.0.0.1"]
    words += ["--num-cpus=2", "--include-dashboard=false", "--object-store-memory=80000000"]
    folder = tmp_path_factory.mktemp("ray")
    process = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", *words, f"--temp-dir={folder}"],
        env={**os.environ, **LOOPBACK},
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        address, until = folder / "ray_current_cluster", time.monotonic() + 120
        while not address.is_file():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)
        yield address.read_text().strip(), process.pid
    finally:
        ended(process)


def joining(student: Path, address: str) -> subprocess.Popen[str]:
    words = ["serve", f"file={student}", "port=0", "replicas=2", "threads=1", f"cluster={address}"]
    return subprocess.Popen(
        [sys.executable, "-m", "distill", *words],
        env={**os.environ, **LOOPBACK},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


@pytest.mark.slow
@pytest.mark.skipif(NO_RAY, reason="no ray")
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
def test_replicas_join_a_cluster_and_leave_it_as_it_was(student, mel, cluster, serving):
    at, head = cluster
    process = joining(student, at)
    try:
        lines = iter(process.stdout.readline, "")
        line = next(line for line in lines if "2 replicas" in line)
        assert f"in the cluster {at}" in line
        address = line.split("/")[2]
        threading.Thread(target=list, args=(lines,), daemon=True).start()

        # What they say is what a server by itself says.
        with serving() as one:
            plain = exchange(one, mel, 5, seed=3)[0]
        assert np.array_equal(exchange(address, mel, 5, seed=3)[0], plain)
        asked = [(np.roll(mel, i, 0), {"seed": i}) for i in range(8)]
        alone = [exchange(address, rows, 1 + i % 5, **s)[0] for i, (rows, s) in enumerate(asked)]
        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(exchange, address, rows, 5, **s) for rows, s in asked]
            assert all(map(np.array_equal, [job.result()[0] for job in jobs], alone))

        # One is killed: its stream ends with a reason, which the cluster's proxy gives.
        streams = [connect(f"ws://{address}/stream") for _ in range(8)]
        for stream in streams:
            opened(stream)
        pinned = seen(address, "distill_open_streams", lambda m: sum(m.values()) == 8)
        workers = [p for p in members(head) if b"ServeReplica" in _command(p)]
        assert len(workers) == len(pinned) == 2
        os.kill(workers[0], signal.SIGKILL)
        codes = []
        for stream in streams:
            try:
                stream.send(mel.tobytes())
                stream.recv(timeout=30)
            except ConnectionClosed:
                codes.append((stream.close_code, "connect again" in (stream.close_reason or "")))
            stream.close()
        assert set(codes) == {(1012, True)}
        assert len(codes) in pinned.values()

        # A second server has no place there.
        other = joining(student, at)
        _, said = other.communicate(timeout=120)
        assert other.returncode == 2
        assert f"cluster={at}: Ray Serve runs there already" in said
        assert post(address, npy(mel)).status_code == 200

        # It ends by itself, and the cluster works on.
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        ended(process)
    done = subprocess.run(
        [sys.executable, "-c", JOBS, at],
        env={**os.environ, **LOOPBACK},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.split("\n")[0] == "42 {}", done.stderr[-2000:]
    assert not [p for p in members(head) if b"ServeReplica" in _command(p)]
