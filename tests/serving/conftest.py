"""A tiny exported student, and servers of it on a free port of loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import torch
import uvicorn
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as connect_to

from distill.contract import DataSpec, FeatureSpec
from distill.data.audio.mel import LogMel
from distill.export import ONNX, Exported, load
from distill.export.graph import SamplingGraph
from distill.models import Flow, wavenet_iaf
from distill.networks import FrameEncoder
from distill.serving import pool as pool_module
from distill.serving.app import application
from distill.serving.decoder import Decoder
from distill.serving.limits import Limits
from distill.serving.run import config
from distill.serving.voice import Voice

RATE, HOP, BANDS = 8000, 64, 20
CLIENT = httpx.Client(verify=False, trust_env=False, timeout=30, limits=httpx.Limits())
Serve = Callable[..., AbstractContextManager[str]]


def spec(**features: FeatureSpec) -> DataSpec:
    mel = LogMel(bands=BANDS, fft=256, window=256, hop=HOP, high=None)
    return DataSpec(
        sites=None,
        scale=(0.1,),
        features={"mel": FeatureSpec("frames", BANDS), **features},
        sample_rate=RATE,
        hop=HOP,
        settings={"mel": asdict(mel), "speakers": ["anna", "bert"]},
    )


def tiny(data: DataSpec, kind: type[FrameEncoder] = FrameEncoder) -> Flow:
    torch.manual_seed(0)
    encoder = partial(kind, mode="repeat", look_ahead=2)
    return wavenet_iaf(data, flows=[1, 1], cycle=1, channels=4, encoder=encoder, last_scale=1.0)


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the export of a student of mels."""
    return ONNX().write(tiny(spec()), tmp_path_factory.mktemp("export") / "student.onnx")


@pytest.fixture(scope="session")
def exported(student: Path) -> Exported:
    return load(student)


@pytest.fixture(scope="session")
def many_voices() -> Exported:
    """Return a student of mel, F0 and speaker, without the way through a file."""
    features = {"f0": FeatureSpec("frames", 2), "speaker": FeatureSpec("label", 2)}
    graph = SamplingGraph(tiny(spec(**features)))
    return Exported(graph.metadata, graph, "eager")


@pytest.fixture(scope="session")
def serving(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Return a context that serves with given limits and yields the address."""
    folder = tmp_path_factory.mktemp("decoder")
    soundfile.write(folder / "a.wav", 0.1 * np.sin(np.arange(RATE)), RATE)
    decoder = Decoder(folder)
    # What readers import is there before a test counts seconds.
    decoder.read(folder / "a.wav", 9.0, exported.metadata.to_json())
    decoder.close()

    @contextlib.contextmanager
    def serving(limits: Limits | None = None, **options: Any) -> Iterator[str]:
        limits, sampler = limits or Limits(), options.pop("sampler", exported)
        one = {"student": Voice(sampler, tuple(options.pop("examples", ())))}
        app = application(options.pop("voices", one), limits, **options)
        server = uvicorn.Server(config(app, limits))
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            thread = threading.Thread(target=server.run, args=([listening],))
            thread.start()
            while not server.started:
                time.sleep(0.005)
            try:
                yield f"127.0.0.1:{listening.getsockname()[1]}"
            finally:
                server.should_exit = True
                thread.join()

    return serving


@pytest.fixture(scope="session")
def address(serving: Serve) -> Iterator[str]:
    """Serve with small limits; the address stays good whatever a test sends."""
    limits = Limits(megabytes=0.5, seconds=3.0, stream_seconds=4.0, message_seconds=1.0)
    with serving(limits) as address:
        yield address


@pytest.fixture
def slow_reader(monkeypatch):
    """Let reading processes never end, as the pitch of a long recording may seem to."""
    start = pool_module.Decoder._running

    def running(self):
        line = start(self)
        os.kill(self._process.pid, signal.SIGSTOP)
        return line

    monkeypatch.setattr(pool_module.Decoder, "_running", running)


@pytest.fixture
def server(student: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    """Serve in a process of its own, with the limits that everybody has."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "distill", "serve", f"file={student}", "port=0"],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split("/")[2], temporary
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture
def mel() -> np.ndarray:
    """Return 30 frames."""
    return np.random.default_rng(0).normal(size=(30, BANDS)).astype(np.float32)


def connect(url: str, **options: Any) -> ClientConnection:
    return connect_to(url, proxy=None, **options)


def exchange(
    address: str, rows: np.ndarray, chunk: int, **settings: object
) -> tuple[np.ndarray, dict[str, Any], list[int]]:
    """Stream rows; return the samples, the server's figures, and the length of each answer."""
    with connect(f"ws://{address}/stream") as socket:
        ready = opened(socket, **settings)
        form = "<i2" if ready["format"] == "int16" else "<f4"
        parts = []
        for start in range(0, len(rows), chunk):
            socket.send(rows[start : start + chunk].tobytes())
            parts.append(np.frombuffer(socket.recv(), form))
        socket.send('{"type": "end"}')
        parts.append(np.frombuffer(socket.recv(), form))
        return np.concatenate(parts), json.loads(socket.recv()), [len(part) for part in parts]


def opened(socket: ClientConnection, **settings: object) -> dict[str, Any]:
    socket.send(json.dumps(settings))
    ready = json.loads(socket.recv())
    assert ready["type"] == "ready", ready
    return ready
