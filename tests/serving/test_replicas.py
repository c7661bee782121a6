"""The server as replicas of Ray Serve: the same sound from all, and a clear end where one dies."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from distill.serving import replicas as replicas_module
from distill.serving.board import Board, merged
from distill.serving.replicas import serve_replicas
from distill.serving.server_metrics import ServerMetrics, exposition
from distill.serving.voice import Voice

from .client import npy, post
from .conftest import CLIENT, connect, exchange, opened
from .test_crowd import members, memory

PROXY = Path(replicas_module.__file__).parent / "proxy" / "distill_proxy.py"


def lost_replica_middleware() -> Any:
    found = importlib.util.spec_from_file_location(PROXY.stem, PROXY)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    (only,) = module.middlewares()
    return only.cls


def test_what_replicas_count_is_told_apart_and_forgotten_with_them(monkeypatch):
    board, servers = Board(), {name: ServerMetrics() for name in ("a", "b")}
    for name, server in servers.items():
        server.spoke("anna", 1.0, 8000 if name == "a" else 16000, 8000)
        board.tell(name, list(server.registry.collect()))
    text = exposition(merged(board.told())).decode()
    assert 'distill_samples_total{replica="a",voice="anna"} 8000.0' in text
    assert 'distill_samples_total{replica="b",voice="anna"} 16000.0' in text
    assert text.count("# TYPE distill_samples_total counter") == 1
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert board.told() == {}


@pytest.mark.parametrize(
    ("kind", "said", "wanted"),
    [
        ("websocket", ["websocket.accept"], ["websocket.accept", "websocket.close"]),
        ("websocket", [], ["websocket.close"]),
        ("websocket", ["websocket.accept", "websocket.close"], None),
        ("http", [], ["http.response.start", "http.response.body"]),
        ("http", ["http.response.start"], None),
    ],
)
def test_what_a_dead_replica_leaves_open_is_closed_with_a_reason(kind, said, wanted):
    sent: list[dict[str, Any]] = []

    async def replica(scope, receive, send):
        for message in said:
            await send({"type": message})

    async def send(message):
        sent.append(message)

    asyncio.run(lost_replica_middleware()(replica)({"type": kind}, None, send))
    assert [message["type"] for message in sent] == (wanted or said)
    if wanted and kind == "websocket":
        assert sent[-1]["code"] == 1012
        assert "connect again" in sent[-1]["reason"]
    elif wanted:
        assert sent[0]["status"] == 503
        assert "connect again" in json.loads(sent[1]["body"])["error"]


def test_who_goes_by_itself_is_not_answered():
    sent: list[object] = []

    async def replica(scope, receive, send):
        await receive()

    async def receive():
        return {"type": "websocket.disconnect", "code": 1001}

    async def send(message):
        sent.append(message)

    asyncio.run(lost_replica_middleware()(replica)({"type": "websocket"}, receive, send))
    assert sent == []


def test_no_replicas_and_no_ray_are_refused_in_a_line(exported, monkeypatch):
    voices = {"student": Voice(exported)}
    with pytest.raises(ValueError, match="replicas: wanted 1 or more"):
        serve_replicas(voices, 0, port=0)
    with pytest.raises(ValueError, match="public=true"):
        serve_replicas(voices, 2, host="0.0.0.0", port=0)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'distill\[serve,cluster\]'"):
        serve_replicas(voices, 2, port=0)


@pytest.fixture(scope="module")
def two(student: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Serve by two replicas, each of one thread."""
    words = ["serve", f"file={student}", "port=0", "replicas=2", "threads=1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "distill", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        lines = iter(process.stdout.readline, "")
        address = next(line for line in lines if "2 replicas" in line).split("/")[2]
        threading.Thread(target=list, args=(lines,), daemon=True).start()
        yield process, address
    finally:
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        for left in members(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        process.wait()


def counted(address: str, name: str) -> dict[str, float]:
    """Return the samples of a metric by replica."""
    text = CLIENT.get(f"http://{address}/metrics").text
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    found: dict[str, float] = {}
    for line in lines:
        replica = line.split('replica="')[1].split('"')[0]
        found[replica] = found.get(replica, 0.0) + float(line.split()[-1])
    return found


def seen(address: str, name: str, wanted: Any, seconds: float = 240.0) -> dict[str, float]:
    """Wait until a metric is as it should be: others tell theirs every second."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError):
            if wanted(found := counted(address, name)):
                return found
        time.sleep(0.5)
    raise AssertionError(f"{name}: {counted(address, name)}")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="no ray")
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
def test_two_replicas_sing_as_one_and_outlive_each_other(two, mel):
    process, address = two
    process_ids = members(process.pid)
    asked = [(np.roll(mel, i, 0), {"seed": i, "temperature": 0.5 + i / 32}) for i in range(32)]
    alone = [exchange(address, rows, 1 + i % 5, **s)[0] for i, (rows, s) in enumerate(asked)]
    assert len({part.tobytes() for part in alone}) == 32

    # At once: bit for bit what each was alone, by both replicas.
    with ThreadPoolExecutor(32) as pool:
        jobs = [pool.submit(exchange, address, rows, 5, **s) for rows, s in asked]
        together = [job.result()[0] for job in jobs]
    assert all(map(np.array_equal, together, alone))
    made = seen(address, "distill_samples_total", lambda m: sum(m.values()) == 2 * 32 * 30 * 64)
    print(f"samples by replica: {made}; all processes hold {memory(process.pid) / 1e6:,.0f} MB")
    print(f"of these {counted(address, 'process_resident_memory_bytes')}")
    assert len(made) == 2

    # One is killed in the middle: its streams are told, the others go on to the same end.
    lines = [connect(f"ws://{address}/stream") for _ in asked]
    heard = []
    for line, (rows, s) in zip(lines, asked, strict=True):
        opened(line, **s)
        line.send(rows[:10].tobytes())
        heard.append(np.frombuffer(line.recv(), "<i2"))
    pinned = seen(address, "distill_open_streams", lambda m: sum(m.values()) == 32)
    print(f"open streams by replica: {pinned}")
    workers = [p for p in process_ids if b"ServeReplica" in _command(p)]
    assert len(workers) == 2
    began = time.monotonic()
    os.kill(workers[0], signal.SIGKILL)
    codes, went_on = [], 0
    for i, (line, (rows, _)) in enumerate(zip(lines, asked, strict=True)):
        try:
            line.send(rows[10:].tobytes())
            parts = [heard[i], np.frombuffer(line.recv(timeout=30), "<i2")]
            line.send('{"type": "end"}')
            parts.append(np.frombuffer(line.recv(timeout=30), "<i2"))
            assert np.array_equal(np.concatenate(parts), alone[i])
            went_on += 1
        except ConnectionClosed:
            codes.append((line.close_code, "connect again" in (line.close_reason or "")))
        line.close()
    took = time.monotonic() - began
    print(f"{went_on} went on, {len(codes)} closed with {set(codes)}, within {took:.2f} s")
    assert set(codes) == {(1012, True)}
    assert sorted(pinned.values()) == sorted([len(codes), went_on])

    # Meanwhile the other serves, and a new one comes.
    assert post(address, npy(mel)).status_code == 200
    name = "process_start_time_seconds"
    back = seen(address, name, lambda m: len(m) == 2 and m.keys() != made.keys())
    print(f"back after {time.monotonic() - began:.1f} s")
    assert len(back.keys() & made.keys()) == 1
    with ThreadPoolExecutor(32) as pool:
        jobs = [pool.submit(exchange, address, rows, 5, **s) for rows, s in asked]
        assert all(map(np.array_equal, [job.result()[0] for job in jobs], alone))

    # And all of it ends, with a word to who is still there.
    last = connect(f"ws://{address}/stream")
    opened(last)
    all_of_it, began = members(process.pid), time.monotonic()
    process.terminate()
    with pytest.raises(ConnectionClosed):
        last.recv(timeout=30)
    assert last.close_code == 1012
    process.wait(30)
    print(f"ended after {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 20
    time.sleep(1)
    assert not [p for p in all_of_it if b"ray::" in _command(p)]


def _command(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""
