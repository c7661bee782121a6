"""Health for who sends clients here, and counts of all that was asked and made."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed

from distill.serving.app import application
from distill.serving.limits import Limits
from distill.serving.run import DrainingServer, bind, config
from distill.serving.voice import Voice

from .client import hung_up, npy, post, slow, wave_of
from .conftest import CLIENT, HOP, RATE, connect, exchange, opened
from .test_endurance import answer_on, line_to


def counts(address: str) -> dict[str, float]:
    """Return every sample of /metrics by its name and labels, as the text has them."""
    response = CLIENT.get(f"http://{address}/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    found = {}
    for family in text_string_to_metric_families(response.text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_what_was_asked_and_made_is_counted(serving, mel):
    with serving(Limits(seconds=3.0)) as address:
        body = npy(mel)
        assert len(wave_of(post(address, body))) == 30 * HOP
        exchange(address, mel, 10)
        assert post(address, b"").status_code == 415
        CLIENT.get(f"http://{address}/wp-login.php")
        CLIENT.get(f"http://{address}/page/app.js")
        got = counts(address)
    one = "distill_requests_total{endpoint=%s,status=%s}"
    assert got[one % ("/synthesize", 200)] == 1
    assert got[one % ("/synthesize", 415)] == 1
    assert got[one % ("/stream", 101)] == 1
    assert got[one % ("other", 404)] == 1
    assert got[one % ("/page", 200)] == 1
    assert got["distill_closed_streams_total{code=1000}"] == 1
    assert got["distill_received_bytes_total{endpoint=/synthesize}"] == len(body)
    assert got["distill_received_bytes_total{endpoint=/stream}"] > mel.nbytes
    assert got["distill_sent_bytes_total{endpoint=/synthesize}"] > 2 * 30 * HOP
    assert got["distill_samples_total{voice=student}"] == 2 * 30 * HOP
    assert got["distill_sound_seconds_total{voice=student}"] == pytest.approx(60 * HOP / RATE)
    assert got["distill_synthesis_seconds_total{voice=student}"] > 0
    assert got["distill_real_time_factor_count{voice=student}"] == 2
    assert got["distill_real_time_factor_sum{voice=student}"] > 0
    assert got["distill_wait_seconds_count"] > 4
    assert (got["distill_open_streams"], got["distill_queue_length"]) == (0, 0)
    assert not [name for name in got if "_created" in name]


def test_what_waits_and_who_is_sent_away_is_seen_meanwhile(serving, exported, mel):
    limits = Limits(clients=3, workers=1)
    body = npy(np.repeat(mel, 60, 0))
    with serving(limits, sampler=slow(exported, 0.1)) as address:
        lines = [hung_up(address, body) for _ in range(2)]
        with connect(f"ws://{address}/stream") as socket:
            opened(socket)
            time.sleep(0.2)
            full = CLIENT.get(f"http://{address}/health")
            assert (full.status_code, full.headers["retry-after"]) == (503, "2")
            assert "3 places" in full.json()["error"]
            assert post(address, b"").status_code == 503
            got = counts(address)
            assert got["distill_open_streams"] == 1
            assert any(counts(address)["distill_queue_length"] == 1 for _ in range(9))
            assert got["distill_refused_total{reason=places}"] == 1
        for line in lines:
            line.close()
        time.sleep(0.3)
        assert CLIENT.get(f"http://{address}/health").json() == {"status": "ok"}
        got = counts(address)
        assert got["distill_queue_length"] == 0
        assert got["distill_requests_total{endpoint=/synthesize,status=499}"] == 2


def test_connections_and_bodies_that_do_not_fit_are_counted_apart(serving, mel):
    limits = Limits(connections=1, megabytes=1.0, held_megabytes=0.5)
    with serving(limits) as address:
        with hung_up(address, npy(mel), part=0.5):
            time.sleep(0.2)
            with line_to(address) as late:
                assert answer_on(late).startswith(b"HTTP/1.1 503")
        time.sleep(0.2)
        url, close = f"http://{address}/synthesize", {"Connection": "close"}
        assert CLIENT.post(url, content=bytes(600_000), headers=close).status_code == 503
        got = counts(address)
    assert got["distill_refused_total{reason=connections}"] == 1
    assert got["distill_refused_total{reason=room}"] == 1


def test_a_server_told_to_end_says_so_and_lets_a_stream_finish(exported, mel):
    limits = Limits(drain=20.0)
    app = application({"student": Voice(exported)}, limits)
    server = DrainingServer(config(app, limits))
    listening = bind("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    address = f"127.0.0.1:{listening.getsockname()[1]}"
    try:
        with connect(f"ws://{address}/stream") as socket:
            opened(socket)
            server.handle_exit(signal.SIGTERM, None)
            ends = CLIENT.get(f"http://{address}/health")
            assert (ends.status_code, ends.headers["retry-after"]) == (503, "30")
            assert "the server ends" in ends.json()["error"]
            assert post(address, npy(mel)).status_code == 503
            with connect(f"ws://{address}/stream") as late:
                assert "ends" in json.loads(late.recv())["error"]
                with pytest.raises(ConnectionClosed):
                    late.recv()
            assert late.close_code == 1013
            assert counts(address)["distill_refused_total{reason=ending}"] == 2
            socket.send(mel.tobytes())
            assert len(socket.recv()) == 28 * HOP * 2
            socket.send('{"type": "end"}')
            assert len(socket.recv()) == 2 * HOP * 2
            assert json.loads(socket.recv())["type"] == "stats"
        thread.join(timeout=10)
        assert not thread.is_alive()
    finally:
        server.should_exit = True
        thread.join()


def test_two_servers_of_one_process_count_apart(exported):
    voices = {"student": Voice(exported)}
    first, second = (application(voices).state.server.pool for _ in range(2))
    first.metrics.refused.labels("places").inc()
    name, labels = "distill_refused_total", {"reason": "places"}
    assert first.metrics.registry.get_sample_value(name, labels) == 1
    assert second.metrics.registry.get_sample_value(name, labels) is None
    for pool in (first, second):
        pool.close()
    assert not Path(first.folder).exists()
