"""The websocket: any chunks give the whole sound; what makes no sense ends it with a line."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from distill.export import Exported
from distill.serving.limits import Limits

from .conftest import BANDS, HOP, RATE, connect, exchange, opened


@pytest.mark.parametrize("chunk", [1, 3, 7, 30])
def test_a_stream_gives_the_whole_sound_whatever_its_chunks(address, exported, mel, chunk):
    whole = exported.synthesize(mel, seed=5, temperature=0.7)[0].numpy()
    got, figures, lengths = exchange(address, mel, chunk, seed=5, temperature=0.7, format="float32")
    assert got == pytest.approx(whole, abs=1e-5)
    assert all(length % HOP == 0 for length in lengths)
    assert lengths[0] == max(0, chunk - 2) * HOP
    assert figures["seconds"] == pytest.approx(30 * HOP / RATE)
    assert 0 < figures["latency_p50_ms"] <= figures["latency_p99_ms"]
    assert figures["real_time_factor"] > 0


def test_samples_come_in_16_bits_unless_asked_otherwise(address, mel):
    coarse, _, _ = exchange(address, mel, 10, seed=1)
    fine, _, _ = exchange(address, mel, 10, seed=1, format="float32")
    assert coarse.dtype == np.int16
    assert coarse / 2**15 == pytest.approx(np.clip(fine, -1, 1), abs=2**-15)


ROW = np.zeros((1, BANDS), np.float32)
BAD = {
    "no JSON": (["hello"], "JSON object"),
    "no object": (["[1]"], "JSON object"),
    "frames first": ([ROW.tobytes()], "JSON object"),
    "an unknown setting": (['{"sed": 1}'], "Did you mean seed?"),
    "a bad seed": (['{"seed": true}'], "seed"),
    "a bad temperature": (['{"temperature": -1}'], "temperature"),
    "a bad format": (['{"format": "mp3"}'], "int16 or float32"),
    "a cut frame": (["{}", ROW.tobytes()[:-2]], "78 bytes"),
    "an empty message": (["{}", b""], "whole frames"),
    "NaN": (["{}", (ROW * np.nan).tobytes()], "NaN"),
    "another message": (["{}", '{"type": "stop"}'], '"end"'),
    "no frames": (["{}", '{"type": "end"}'], "without a frame"),
    "a long message": (["{}", ROW.repeat(126, 0).tobytes()], "1 s of frames"),
    "a long stream": (["{}", *[ROW.repeat(120, 0).tobytes()] * 5], "4 s"),
}


@pytest.mark.parametrize(("messages", "says"), BAD.values(), ids=BAD)
def test_what_makes_no_sense_ends_the_stream_with_a_line(address, mel, messages, says):
    answers: list[Any] = []
    with connect(f"ws://{address}/stream") as socket:
        for message in messages:
            socket.send(message)
        with contextlib.suppress(ConnectionClosed):
            answers += socket  # until it is closed
    error = json.loads(answers[-1])
    assert error["type"] == "error"
    assert says in error["error"]
    assert socket.close_code in (1007, 1009)
    assert len(exchange(address, mel, 10)[0]) == 30 * HOP


def test_a_message_beyond_all_measure_closes_the_connection(address, mel):
    with connect(f"ws://{address}/stream") as socket:
        opened(socket)
        socket.send(bytes(10**6))
        with pytest.raises(ConnectionClosed):
            socket.recv()
        assert socket.close_code == 1009
    assert len(exchange(address, mel, 10)[0]) == 30 * HOP


def test_streams_that_hang_up_or_fall_silent_free_their_places(serving, mel):
    with serving(Limits(clients=1, upload=0.3)) as address:
        for _ in range(3):
            with connect(f"ws://{address}/stream") as socket:
                opened(socket)
                socket.send(mel.tobytes())
                socket.socket.close()
            time.sleep(0.1)
        with connect(f"ws://{address}/stream") as silent:
            opened(silent)
            with connect(f"ws://{address}/stream") as late:
                assert "places" in json.loads(late.recv())["error"]
            assert "no message" in json.loads(silent.recv())["error"]
        assert len(exchange(address, mel, 10)[0]) == 30 * HOP


def test_a_page_from_elsewhere_gets_no_stream(address):
    with (
        pytest.raises(Exception, match="403"),
        connect(f"ws://{address}/stream", origin="http://elsewhere.example"),
    ):
        pass


@pytest.mark.parametrize("form", ["int16", "float32"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_sound_that_is_not_finite_is_refused_in_either_format(
    serving, exported, mel, form, value
):
    def compute(noise, features, state):
        x, log_prob, after = exported.compute(noise, features, state)
        return x * value, log_prob, after

    with (
        serving(sampler=Exported(exported.metadata, compute, exported.path)) as address,
        connect(f"ws://{address}/stream") as socket,
    ):
        opened(socket, format=form)
        socket.send(mel.tobytes())
        assert "not finite" in json.loads(socket.recv())["error"]
