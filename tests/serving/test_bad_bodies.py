"""Bodies, settings, paths and pages that the server refuses in a line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from websockets.sync.client import connect

from .client import npy, post, sound, wave_of
from .conftest import BANDS, CLIENT, HOP

LYING = npy(np.zeros((10, BANDS), np.float32)).replace(b"(10,", b"(99,")
NAN = np.full((5, BANDS), np.nan, np.float32)
BAD = {
    "nothing": (b"", {}, 415, "empty"),
    "a foreign file": (b"%PDF-1.4", {}, 415, "wanted frames"),
    "a pickle": (npy(np.array([{}], dtype=object)), {}, 400, "object"),
    "a .pt file": (b"PK\x03\x04", {}, 415, "wanted frames"),
    "a cut .npy": (npy(np.zeros((10, BANDS), np.float32))[:-40], {}, 400, "promises"),
    "a lying .npy": (LYING, {}, 400, "promises"),
    "wrong bands": (npy(np.zeros((10, 7), np.float32)), {}, 400, "20 of mel"),
    "one axis": (npy(np.zeros(BANDS, np.float32)), {}, 400, "shape (frames, 20)"),
    "whole numbers": (npy(np.zeros((10, BANDS), np.int8)), {}, 400, "got int8"),
    "wrong dtype": (npy(np.zeros((10, BANDS), np.complex64)), {}, 400, "complex64"),
    "texts": (npy(np.full((10, BANDS), "a")), {}, 400, "real numbers"),
    "NaN": (npy(NAN), {}, 400, "NaN"),
    "too large for float32": (npy(np.full((5, BANDS), 1e300)), {}, 400, "too large"),
    "no frames": (npy(np.zeros((0, BANDS), np.float32)), {}, 400, "no frames"),
    "too many frames": (npy(np.zeros((12_000, BANDS), np.float16)), {}, 413, "96.0 s"),
    "ten minutes of audio": (sound(600, kind="FLAC", level=0), {}, 413, "600.0 s"),
    "a low rate": (sound(rate=4000), {}, 400, "low rate"),
    "cut audio": (sound()[:-500], {}, 400, "truncated"),
    "audio without samples": (sound(0), {}, 400, "empty"),
    "broken audio": (b"RIFF1234WAVEjunk", {}, 400, "unreadable"),
    "broken JSON": (b"{mel", {}, 400, "JSON"),
    "two mels in JSON": (b'{"mel": [[0.5]], "mel": [[0.5]]}', {}, 400, "'mel' stands there twice"),
    "digits apart": (b"", {"temperature": "1_0"}, 400, "temperature"),
    "deep JSON": (b'{"mel":' + b"[" * 100_000, {}, 400, "JSON"),
    "ragged JSON": (b'{"mel": [[1, 2], [3]]}', {}, 400, "mel"),
    "JSON without a mel": (b'{"f0": []}', {}, 400, "got f0"),
    "JSON without frames": (b'{"mel": []}', {}, 400, "mel"),
    "a bad seed": (b"", {"seed": -1}, 400, "seed"),
    "a fractional seed": (b"", {"seed": "1.5"}, 400, "seed"),
    "a bad temperature": (b"", {"temperature": "nan"}, 400, "temperature"),
    "a format": (b"", {"format": "float32"}, 400, "format"),
    "an unknown setting": (b"", {"sed": 1}, 400, "Did you mean seed?"),
    "a speaker of a single voice": (b"", {"speaker": "anna"}, 400, "speaker"),
}


@pytest.mark.parametrize(("body", "query", "status", "says"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_line_and_the_next_request_is_served(
    address, mel, body, query, status, says
):
    response = post(address, body, **query)
    assert response.status_code == status, response.text
    line = response.json()["error"]
    assert says in line
    assert "\n" not in line
    assert "/tmp" not in line
    assert len(line) < 500
    assert len(wave_of(post(address, npy(mel), seed=1))) == 30 * HOP


@pytest.mark.parametrize("told", [True, False], ids=["length told", "in parts"])
def test_a_body_over_the_limit_is_refused(address, mel, told):
    body = bytes(700_000)
    content = body if told else (body[i : i + 10_000] for i in range(0, len(body), 10_000))
    response = CLIENT.post(f"http://{address}/synthesize", content=content)
    assert response.status_code == 413
    assert "0.5 MB" in response.json()["error"]
    assert len(wave_of(post(address, npy(mel)))) == 30 * HOP


def test_paths_and_methods_that_are_not_there_are_refused_in_json(address):
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/examples/0/reference.wav", 404),
        ("GET", "/page/../app.py", 404),
        ("GET", "/page/%2e%2e/app.py", 404),
        ("GET", "/synthesize", 405),
    ):
        response = CLIENT.request(method, f"http://{address}{path}")
        assert response.status_code == status
        assert response.json()["error"]


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://elsewhere.example"}, {"Host": "elsewhere.example"}]
)
def test_pages_from_elsewhere_are_refused(address, mel, headers):
    url = f"http://{address}/synthesize"
    assert CLIENT.post(url, content=npy(mel), headers=headers).status_code == 403
    own = {"Origin": f"http://{address}"}
    assert CLIENT.post(url, content=npy(mel), headers=own).status_code == 200


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_with_a_mark_of_the_byte_order_is_read_in_a_body_and_in_a_stream(
    address, mel, encoding
):
    said = json.dumps({"mel": mel.tolist()})
    marked, plain = (post(address, said.encode(code), seed=1) for code in (encoding, "utf-8"))
    assert marked.status_code == 200, marked.text
    assert marked.content == plain.content
    with connect(f"ws://{address}/stream", proxy=None) as line:
        line.send("\ufeff" + json.dumps({"seed": 1}))
        assert json.loads(line.recv())["type"] != "error"


def test_settings_of_a_stream_that_name_one_twice_are_refused(address):
    with connect(f"ws://{address}/stream", proxy=None) as line:
        line.send('{"seed": 1, "seed": 2}')
        said = json.loads(line.recv())
    assert said["type"] == "error"
    assert "'seed' stands there twice" in said["error"]
