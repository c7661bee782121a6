"""Requests that no client of ours sends: each gets one line, and the next one is served."""

from __future__ import annotations

import gzip
import json

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from distill.serving.limits import Limits

from .client import npy, post, wave_of
from .conftest import BANDS, CLIENT, HOP, connect
from .test_endurance import answer_on, line_to

ROW = "[" + ", ".join(["0.5"] * BANDS) + "]"
BODIES = {
    "NaN": '{"mel": [' + ROW.replace("0.5", "NaN", 1) + "]}",
    "infinity": '{"mel": [' + ROW.replace("0.5", "-Infinity", 1) + "]}",
    "a number beyond all": '{"mel": [' + ROW.replace("0.5", "1e999", 1) + "]}",
    "booleans": '{"mel": [' + ROW.replace("0.5", "true") + "]}",
    "one boolean": '{"mel": [' + ROW.replace("0.5", "true", 1) + "]}",
    "texts": '{"mel": [' + ROW.replace("0.5", '"0.5"') + "]}",
    "nothing": '{"mel": null}',
    "a mapping": '{"mel": {"0": 1.0}}',
    "lists of different lengths": '{"mel": [[1.0], [1.0, 2.0]]}',
    "depth": '{"mel": ' + "[" * 50_000 + "]" * 50_000 + "}",
    "an open end": '{"mel": [',
    "two values": '{"mel": []} {"mel": []}',
    "digits": '{"mel": [[' + "9" * 5000 + "]]}",
}
POST = "POST /synthesize HTTP/1.1\r\nHost: H\r\n"
HEADS = {
    "a length of 5000 digits": f"{POST}Content-Length: {'9' * 5000}\r\n\r\n",
    "a length below zero": f"{POST}Content-Length: -1\r\n\r\n",
    "two lengths": f"{POST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a header without end": f"GET /about HTTP/1.1\r\nHost: H\r\nX-Long: {'x' * 1_000_000}",
    "no HTTP": "\x00\x01\x02\r\n\r\n",
    "a chunk that is none": (
        "POST /synthesize HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    ),
    "another coding": "POST /synthesize HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: gzip\r\n\r\n",
}


@pytest.mark.parametrize("case", BODIES)
def test_json_that_is_no_frames_is_refused_in_a_line(address, case, mel):
    refused = post(address, BODIES[case].encode())
    assert refused.status_code == 400
    assert "\n" not in refused.json()["error"]
    assert len(wave_of(post(address, npy(mel)))) == 30 * HOP


@pytest.mark.parametrize("case", HEADS)
def test_a_head_that_is_none_is_refused_in_json_and_the_next_is_served(address, case, mel, caplog):
    with line_to(address) as line:
        line.settimeout(5)
        line.sendall(HEADS[case].replace("Host: H", f"Host: {address}").encode())
        answer = answer_on(line).decode()
    assert answer[:12] in ("HTTP/1.1 400", "HTTP/1.1 413", "HTTP/1.1 431", "HTTP/1.1 501")
    assert json.loads(answer.partition("\r\n\r\n")[2])["error"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(wave_of(post(address, npy(mel)))) == 30 * HOP


UPGRADE = "Host: H\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize(
    ("status", "head"),  # 4 for one that differs by the version of websockets
    [
        (400, f"GET /stream HTTP/1.1\r\n{UPGRADE}Sec-WebSocket-Version: 13\r\n\r\n"),
        (400, f"GET /stream HTTP/1.1\r\n{UPGRADE}{KEY.replace('13', '7')}\r\n"),
        (400, f"GET /stream HTTP/1.1\r\n{UPGRADE}{KEY}Content-Length: 5\r\n\r\nhello"),
        (400, f"POST /stream HTTP/1.1\r\n{UPGRADE}{KEY}Content-Length: 5\r\n\r\nhello"),
        (405, f"PUT /stream HTTP/1.1\r\n{UPGRADE}{KEY}\r\n"),
        (4, f"GET /stream HTTP/1.1\r\n{UPGRADE}{KEY}X: {'x' * 20_000}\r\n\r\n"),
        (403, f"GET /nowhere HTTP/1.1\r\n{UPGRADE}{KEY}\r\n"),
    ],
)
def test_a_handshake_that_fails_says_why_in_json(address, status, head):
    with line_to(address) as line:
        line.settimeout(5)
        line.sendall(head.replace("Host: H", f"Host: {address}").encode())
        answer, _, body = answer_on(line).decode().partition("\r\n\r\n")
    assert answer.startswith(f"HTTP/1.1 {status}")
    assert "content-type: application/json" in answer.lower()
    assert "\n" not in json.loads(body)["error"]


def test_a_stream_for_a_foreign_page_says_why_it_is_refused(address):
    url, origin = f"ws://{address}/stream", "http://elsewhere.example"
    with pytest.raises(InvalidStatus) as refused, connect(url, origin=origin):
        pass
    assert json.loads(refused.value.response.body)["error"].startswith("origin: only")


@pytest.mark.parametrize(
    "query",
    [
        {"temperature": "nan"},
        {"temperature": "-1"},
        {"temperature": "1e999"},
        {"temperature": "true"},
        {"seed": "1.5"},
        {"seed": "-1"},
        {"seed": "9" * 5000},
        {"seed": "１２"},
        {"speaker": "\x00"},
        {"nonsense": "1"},
    ],
    ids=lambda query: f"{next(iter(query))}={next(iter(query.values()))[:6]!a}",
)
def test_a_query_of_nonsense_is_refused_in_a_line(address, mel, query):
    refused = post(address, npy(mel), **query)
    assert refused.status_code == 400
    assert "\n" not in refused.json()["error"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/synthesize?seed=1&seed=2", "seed: wanted it once, got it 2 times"),
        ("/features?voice=student&voice=student", "voice: wanted it once"),
        ("/features?seed=1", "seed: unknown setting. There are: voice."),
        ("/features?voise=student", "voise: unknown setting. Did you mean voice?"),
    ],
)
def test_what_a_query_says_in_vain_is_refused(address, mel, path, says):
    refused = CLIENT.post(f"http://{address}{path}", content=npy(mel))
    assert refused.status_code == 400
    assert refused.json()["error"].startswith(says)


def test_a_body_that_is_compressed_is_refused_by_that(address, mel):
    url, headers = f"http://{address}/synthesize", {"Content-Encoding": "gzip"}
    refused = CLIENT.post(url, content=gzip.compress(npy(mel)), headers=headers)
    assert (refused.status_code, "'gzip'" in refused.json()["error"]) == (415, True)


def test_chunks_that_never_end_are_cut_off_in_time(serving, mel):
    with serving(Limits(upload=0.5)) as address, line_to(address) as line:
        line.sendall(f"POST /synthesize HTTP/1.1\r\nHost: {address}\r\n".encode())
        line.sendall(b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        line.settimeout(5)
        assert line.recv(65536).startswith(b"HTTP/1.1 408")
        assert len(wave_of(post(address, npy(mel)))) == 30 * HOP


@pytest.mark.parametrize(
    "message",
    [
        '{"seed": true}',
        '{"seed": NaN}',
        '{"temperature": true}',
        '{"temperature": NaN}',
        '{"without": "f0"}',
        '{"format": ["int16"]}',
        "[" * 50_000,
        "{}" + "x" * 10_000_000,
        b"\x00" * 7,
        b"\xff" * 10_000_000,
    ],
    ids=lambda message: f"{message[:20]!r}",
)
def test_a_websocket_that_begins_with_nonsense_is_told_and_ended(address, mel, message):
    with connect(f"ws://{address}/stream") as socket, pytest.raises(ConnectionClosed):
        _until_closed(socket, message)
    assert len(wave_of(post(address, npy(mel)))) == 30 * HOP


def _until_closed(socket, message) -> None:
    socket.send(message)
    while True:
        assert json.loads(socket.recv(timeout=10))["type"] == "error"
