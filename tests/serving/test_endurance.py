"""What clients may not do to each other: big bodies, silent lines, trickles, foreign pages."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from distill.serving import pool as pool_module
from distill.serving.limits import Limits

from .client import hung_up, npy, post, sound, wave_of
from .conftest import BANDS, CLIENT, HOP, RATE, connect, exchange, opened


def line_to(address: str) -> socket.socket:
    host, port = address.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def answer_on(line: socket.socket) -> bytes:
    """Read until the server closes the line, or says nothing more."""
    parts = []
    with contextlib.suppress(OSError):
        while part := line.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_a_small_request_passes_a_big_one_within_a_second(serving, mel, slow_reader):
    with serving(Limits()) as address, ThreadPoolExecutor(1) as pool:
        assert len(wave_of(post(address, npy(mel[:10])))) == 10 * HOP
        big = hung_up(address, sound(50))
        time.sleep(0.3)
        began = time.monotonic()
        got = pool.submit(post, address, npy(mel[:10])).result(timeout=10)
        assert len(wave_of(got)) == 10 * HOP
        assert time.monotonic() - began < 1
        big.close()


def test_audio_is_decoded_in_a_process_and_gives_frames(serving):
    with serving(Limits()) as address:
        response = post(address, sound(0.5), path="/features")
        assert response.status_code == 200
        rows = np.frombuffer(response.content, "<f4").reshape(-1, BANDS)
        assert len(rows) == pytest.approx(0.5 * RATE / HOP, abs=2)


def test_whoever_hangs_up_takes_the_decoding_along(serving, slow_reader, monkeypatch):
    stopped = []
    stop = pool_module.Decoder.stop
    monkeypatch.setattr(
        pool_module.Decoder, "stop", lambda self: (stopped.append(self), stop(self))
    )
    with serving(Limits(clients=1)) as address:
        line = hung_up(address, sound(0.5))
        time.sleep(1)
        assert post(address, b"").status_code == 503
        line.close()
        time.sleep(1)
        assert stopped
        assert post(address, b"").status_code == 415  # its place is free again


def test_what_takes_too_long_to_decode_is_ended(serving, slow_reader, mel):
    with serving(Limits(timeout=1.0)) as address:
        assert post(address, sound(0.5)).status_code == 504
        assert len(wave_of(post(address, npy(mel)))) == 30 * HOP


def test_three_hundred_silent_connections_keep_nobody_out(serving, mel):
    with serving(Limits(connections=64, head=30.0)) as address:
        lines = [line_to(address) for _ in range(300)]
        assert len(wave_of(post(address, npy(mel)))) == 30 * HOP
        for line in lines:
            line.close()


def test_a_connection_that_asks_for_nothing_is_closed(serving):
    with serving(Limits(head=0.4)) as address:
        silent, trickling = line_to(address), line_to(address)
        began = time.monotonic()
        with contextlib.suppress(OSError):
            for letter in b"GET /about HTTP/1.1":
                trickling.sendall(bytes([letter]))
                time.sleep(0.1)
        assert answer_on(silent) == b""
        assert answer_on(trickling) == b""
        assert time.monotonic() - began < 10


def test_when_all_connections_are_at_work_the_next_gets_503_as_json(serving, mel):
    limits = Limits(connections=2, upload=5.0, retry_after=9)
    with serving(limits) as address:
        busy = [hung_up(address, npy(mel), part=0.5) for _ in range(2)]
        time.sleep(0.3)
        with line_to(address) as late:
            answer = answer_on(late).decode()
        assert answer.startswith("HTTP/1.1 503")
        assert "retry-after: 9" in answer
        assert "2 connections" in json.loads(answer.partition("\r\n\r\n")[2])["error"]
        for line in busy:
            line.close()


def test_bodies_under_way_are_bounded_together_and_none_is_left(serving, mel):
    limits = Limits(megabytes=1.0, held_megabytes=1.5, retry_after=3)
    with serving(limits) as address:
        first = hung_up(address, bytes(1_000_000), part=0.95)
        time.sleep(0.5)
        refused = post(address, bytes(900_000))
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "3"
        assert "1.5 MB" in refused.json()["error"]
        first.close()
        time.sleep(0.3)
        assert post(address, bytes(900_000)).status_code == 415
        assert len(wave_of(post(address, npy(mel)))) == 30 * HOP


def test_a_client_that_does_not_read_loses_its_line(serving, tmp_path: Path):
    from distill.serving.examples import Example

    (tmp_path / "a.wav").write_bytes(bytes(30_000_000))
    clips = [Example("a", {"reference": tmp_path / "a.wav"})]
    with serving(Limits(upload=0.5), examples=clips) as address:
        line = line_to(address)
        line.sendall(f"GET /examples/0/reference.wav HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        time.sleep(1.5)
        assert len(answer_on(line)) < 30_000_000


def test_a_stream_that_trickles_loses_its_place(serving, mel):
    limits = Limits(clients=1, upload=0.5, pace=2.0)
    with serving(limits) as address:
        with connect(f"ws://{address}/stream") as socket_:
            opened(socket_)
            began, answers = time.monotonic(), []
            with contextlib.suppress(ConnectionClosed):
                while time.monotonic() - began < 10:
                    socket_.send(mel[:1].tobytes())
                    answers.append(socket_.recv())
                    time.sleep(0.3)
            assert "real time" in json.loads(answers[-1])["error"]
            assert time.monotonic() - began < 5
        assert len(exchange(address, mel, 10)[0]) == 30 * HOP


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/about", {"Origin": "http://["}, 400),
        ("/about", {"Origin": "http://a:b:c"}, 400),
        ("/about", {"Origin": "null"}, 403),
        ("/about", {"Host": "["}, 400),
        ("/about", {"Host": "127.0.0.1:x"}, 400),
        ("/about", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/about", {"Sec-Fetch-Site": "same-site"}, 403),
        ("/about", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("/about", {"Sec-Fetch-Site": "none"}, 200),
        (f"/examples/{'9' * 5000}/reference.wav", {}, 404),
        ("/examples/-1/reference.wav", {}, 404),
        ("/examples/%C2%B2/reference.wav", {}, 404),
        ("/page/%00", {}, 404),
        ("/page/%ff%fe", {}, 404),
    ],
)
def test_malformed_and_foreign_requests_get_4xx_and_never_500(address, path, headers, status):
    response = CLIENT.get(f"http://{address}{path}", headers=headers)
    assert response.status_code == status
    if status != 200:
        assert response.json()["error"]
    assert response.headers["cross-origin-resource-policy"] == "same-origin"


def test_sigterm_ends_the_server_within_five_seconds_and_leaves_nothing(server):
    process, address, temporary = server
    assert len(list(temporary.glob("distill-serve-*"))) == 1
    lines = [hung_up(address, sound(20)), hung_up(address, bytes(10_000), part=0.5)]
    time.sleep(0.5)
    assert list(temporary.rglob("body*"))
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
    assert time.monotonic() - began < 5
    assert not list(temporary.iterdir())
    for line in lines:
        line.close()
