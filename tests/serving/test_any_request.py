"""Any request: it is served, or refused in one line of JSON, and the next one is served."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from distill.contract import FeatureSpec
from distill.export import Exported
from distill.export.graph import SamplingGraph
from distill.networks import FrameEncoder, HarmonicEncoder
from distill.serving import pool as pool_module
from distill.serving.app import application
from distill.serving.examples import Example
from distill.serving.limits import Limits
from distill.serving.voice import Voice

from .conftest import BANDS, HOP, RATE, spec, tiny

HOSTS = ("127.0.0.1", "testserver")
LIMITS = Limits(megabytes=0.05, seconds=1.0, stream_seconds=1.0, message_seconds=0.5, upload=5.0)
ODD = ("", "0", "-1", "1.5", "nan", "1e999", "true", "null", "9" * 5000, "١", "\x00", "\n", "é[")
PATHS = (
    *("/", "/about", "/about/", "/page", "/page/", "/page/style.css", "/synthesize", "/features"),
    *("/health", "/health/", "/metrics", "/metrics/x"),
    *("/stream", "/examples/0/reference.wav", "/examples/1/reference.wav", "/examples/0/mine.wav"),
    *(
        "/page/%2e%2e/app.py",
        "/page/%00",
        "/page/%0a",
        "/page/" + "x" * 300,
        "//",
        "/%ff",
        "/a%0ab",
    ),
    *("/examples/%D9%A1/reference.wav", "/examples/0/%2e%2e.wav", "/é", "/" + "x" * 5000),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "BREW", "X" * 300)
HEADERS = {
    "host": ("127.0.0.1", "localhost:1", "[::1]", "[", "evil.example", "127.0.0.1:x", ""),
    "origin": ("http://127.0.0.1", "null", "http://[", "https://evil.example", ""),
    "range": ("bytes=0-3", "bytes=9-1", "bytes=9999999-", "lines=1-2", "x", f"bytes={'9' * 5000}-"),
    "if-none-match": ("*", '"x"', ""),
    "if-modified-since": ("yesterday", "Thu, 01 Jan 2099 00:00:00 GMT"),
    "if-range": ('"x"', "yesterday"),
    "content-type": ("application/json", "text/plain; charset=x", "multipart/form-data", "\xff"),
    "content-encoding": ("gzip",),
    "content-length": ("-1", "1e3", "9" * 5000, "7"),
    "sec-fetch-site": ("cross-site", "same-origin", "x"),
}
ROW = [0.5] * BANDS


def npy(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def wav(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def head_of(shape: str, dtype: str = "<f4") -> bytes:
    """Return a `.npy` that says what it likes."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


FRAMES = np.random.default_rng(0).normal(size=(4, BANDS)).astype(np.float32)
BODIES = (
    *(b"", b"{", b"RIFF", b"fLaC", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"\x93NUMPY", b"PK\x03\x04"),
    *(npy(FRAMES), npy(FRAMES[:1]), npy(FRAMES[:0]), npy(FRAMES.T), npy(FRAMES[:, :3]), npy(1.0)),
    *(npy(FRAMES.astype(">f8")), npy(FRAMES.astype(int)), npy(FRAMES * np.nan), npy(FRAMES * 1e38)),
    *(head_of("(1000000000000, 20)"), head_of("(-4, -20)"), head_of("()", "O"), head_of("(0, 20)")),
    *(npy(np.zeros((400, BANDS), np.float32)), npy(np.zeros((300, BANDS))), b"\x00" * 60_000),
    *(wav(np.sin(np.arange(99)), RATE), wav(np.zeros(9), RATE), wav(np.ones(99), 7), b"{}"),
)
SCALARS = st.one_of(st.sampled_from(ODD), st.none(), st.booleans(), st.integers(), st.floats())
ANYTHING = st.recursive(
    SCALARS | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(ODD), inner),
    max_leaves=4,
)
NAMES = st.sampled_from(
    ("mel", "f0", "voice", "seed", "temperature", "speaker", "format", "without", "stream", "x")
)
SETTINGS = st.dictionaries(NAMES, ANYTHING, max_size=3)
JSON = st.dictionaries(
    NAMES | st.sampled_from(("sample_rate", "\ud800")), ANYTHING | st.just([ROW, ROW]), max_size=3
)
MESSAGES = st.one_of(
    SETTINGS,
    ANYTHING,
    st.sampled_from(({}, {"seed": 1}, {"format": "float32"}, {"type": "end"}, FRAMES.tobytes())),
    st.sampled_from((b"", b"\x00", FRAMES.tobytes()[:-1], b"\xff" * 4 * BANDS, "[" * 9999, "é")),
)
REQUESTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(METHODS) | st.just("POST"),
        "path": st.sampled_from(PATHS) | st.sampled_from(("/synthesize", "/features")),
        "query": st.dictionaries(NAMES, st.sampled_from(ODD), max_size=2),
        "headers": st.fixed_dictionaries(
            {}, optional={name: st.sampled_from(values) for name, values in HEADERS.items()}
        ),
        "body": st.sampled_from(BODIES) | st.binary(max_size=40) | JSON,
    }
)
CALM: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


def sampler_of(**features: FeatureSpec) -> Exported:
    kind = HarmonicEncoder if "f0" in features else FrameEncoder
    graph = SamplingGraph(tiny(spec(**features), kind))
    return Exported(graph.metadata, torch.no_grad()(graph.forward), "eager")


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[list[tuple[TestClient, Path]]]:
    """Return clients of two models in this process, and where what they send lies."""
    f0 = FeatureSpec("frames", 2, optional=True)
    samplers = sampler_of(), sampler_of(f0=f0, phase=f0, speaker=FeatureSpec("label", 2))
    place = tmp_path_factory.mktemp("clip")
    soundfile.write(place / "reference.wav", np.zeros(99), RATE)
    clips = [Example("clip", {"reference": place / "reference.wav"})]
    found: list[tuple[TestClient, Path]] = []
    with pytest.MonkeyPatch.context() as patch:
        for sampler in samplers:
            folder = tmp_path_factory.mktemp("bodies")
            patch.setattr(pool_module, "new_folder", lambda folder=folder: folder)
            app = application({"student": Voice(sampler, tuple(clips))}, LIMITS, HOSTS)
            found.append((TestClient(app, raise_server_exceptions=False), folder))
        for client, _ in found:
            client.__enter__()
        yield found
        for client, folder in found:
            client.__exit__()
            assert not folder.exists()


def check_served(client: TestClient, folder: Path) -> None:
    assert list(folder.iterdir()) == []
    assert client.get("/about").json()["hop"] == HOP


def text_of(content: Any) -> str:
    return json.dumps(content)


@settings(max_examples=250, **CALM)
@given(request=REQUESTS, which=st.integers(0, 1))
def test_any_request_is_served_or_refused_in_a_line(served, request, which):
    client, folder = served[which]
    body = request["body"]
    answer = client.request(
        request["method"],
        request["path"],
        params=request["query"],
        headers={name: value.encode("latin-1") for name, value in request["headers"].items()},
        content=body if isinstance(body, bytes) else text_of(body).encode(),
        follow_redirects=False,
    )
    if not 200 <= answer.status_code < 300 and answer.status_code != 304:
        assert 400 <= answer.status_code < 500, answer.text
        if request["method"] != "HEAD":
            assert list(answer.json()) == ["error"]
            line = answer.json()["error"]
            assert line.isprintable(), line
            assert 0 < len(line) < 500
    check_served(client, folder)


@settings(max_examples=150, **CALM)
@given(messages=st.lists(MESSAGES, min_size=1, max_size=4), which=st.integers(0, 1))
@example(messages=[{"without": [["f0"]], "speaker": 0}], which=1)
@example(messages=[{"speaker": "\ud800"}], which=1)
@example(messages=[{"\x1b[2J": 0}], which=0)
def test_any_message_of_a_stream_is_answered_or_refused_in_a_line(served, messages, which):
    client, folder = served[which]
    with client.websocket_connect("/stream") as socket:
        for message in messages:
            if isinstance(message, bytes):
                socket.send_bytes(message)
            else:
                socket.send_text(message if isinstance(message, str) else text_of(message))
            got = socket.receive()
            if got["type"] == "websocket.close":
                assert got["code"] in (1000, 1007, 1008, 1009), got
                break
            if got.get("text") and json.loads(got["text"])["type"] == "error":
                line = json.loads(got["text"])["error"]
                assert line.isprintable(), line
                assert 0 < len(line) < 500
    check_served(client, folder)
