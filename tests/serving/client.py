"""What clients send and get: bodies, requests, lines that hang up, and a sampler that is slow."""

from __future__ import annotations

import io
import socket
import time

import httpx
import numpy as np
import soundfile

from distill.export import Exported

from .conftest import CLIENT, RATE


def npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def sound(seconds: float = 0.5, rate: int = RATE, kind: str = "WAV", level: float = 0.1) -> bytes:
    file = io.BytesIO()
    wave = level * np.sin(np.arange(int(seconds * rate)) * 0.2)
    soundfile.write(file, wave, rate, "PCM_16", format=kind)
    return file.getvalue()


def post(address: str, body: bytes, path: str = "/synthesize", **query: object) -> httpx.Response:
    return CLIENT.post(f"http://{address}{path}", content=body, params=query)


def wave_of(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    samples, rate = soundfile.read(io.BytesIO(response.content), dtype="int16")
    assert rate == RATE
    return samples


def slow(exported: Exported, seconds: float) -> Exported:
    """Return a sampler that takes its time for every chunk."""

    def compute(*inputs):
        time.sleep(seconds)
        return exported.compute(*inputs)

    return Exported(exported.metadata, compute, exported.path)


def hung_up(address: str, body: bytes, part: float = 1.0) -> socket.socket:
    """Send a request, or a part of it; closing what is returned hangs up."""
    host, port = address.split(":")
    line = socket.create_connection((host, int(port)))
    head = f"POST /synthesize HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len(body)}\r\n\r\n"
    line.sendall(head.encode() + body[: int(part * len(body))])
    return line
