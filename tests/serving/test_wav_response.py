"""Answers that are sent while they are made: the same samples, and an end for who hangs up."""

from __future__ import annotations

import io
import time

import httpx
import numpy as np
import pytest
import soundfile

from distill.export import Exported
from distill.serving.limits import Limits

from .client import npy, post, slow, wave_of
from .conftest import CLIENT, HOP, RATE
from .test_health_and_metrics import counts

STREAMED = {"stream": "true", "seed": "4"}


def test_an_answer_in_chunks_has_the_samples_of_the_whole_one(address, mel):
    body = npy(np.concatenate([mel] * 5))
    whole = wave_of(post(address, body, seed=4))
    url, pieces = f"http://{address}/synthesize", []
    with CLIENT.stream("POST", url, content=body, params=STREAMED) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.headers["content-type"] == "audio/wav"
        assert answer.headers["x-seed"] == "4"
        pieces += answer.iter_raw()
    content = b"".join(pieces)
    assert np.array_equal(np.frombuffer(content[44:], "<i2"), whole)
    samples, rate = soundfile.read(io.BytesIO(content), dtype="int16")
    assert rate == RATE
    assert np.array_equal(samples, whole)
    assert post(address, body, seed=4, stream="false").content[44:] == content[44:]


def test_its_first_chunk_comes_before_its_last_is_made(serving, exported, mel):
    body = npy(np.repeat(mel, 10, 0))
    with serving(Limits(workers=1), sampler=slow(exported, 0.1)) as address:
        url, began, came = f"http://{address}/synthesize", time.monotonic(), []
        with CLIENT.stream("POST", url, content=body, params=STREAMED) as answer:
            for _ in answer.iter_raw():
                came.append(time.monotonic() - began)
    assert len(came) > 5
    assert came[0] < came[-1] / 2


def test_who_hangs_up_ends_the_work_and_frees_the_place(serving, exported, mel):
    body = npy(np.repeat(mel, 60, 0))
    with serving(Limits(clients=1, workers=1), sampler=slow(exported, 0.05)) as address:
        url = f"http://{address}/synthesize"
        for _ in range(2):
            with (
                httpx.Client(trust_env=False, timeout=30) as client,  # hangs up at its end
                client.stream("POST", url, content=body, params=STREAMED) as answer,
            ):
                assert len(next(answer.iter_raw())) > 44
            time.sleep(0.3)
            assert CLIENT.get(f"http://{address}/health").status_code == 200
        made = counts(address)["distill_samples_total{voice=student}"]
        time.sleep(0.3)
        assert counts(address)["distill_samples_total{voice=student}"] == made
        assert made < 2 * 60 * 30 * HOP


@pytest.mark.parametrize(
    ("query", "body", "status", "says"),
    [
        ({"stream": "yes"}, b"", 400, "true or false"),
        ({"stream": "true", "seed": "-1"}, b"", 400, "seed"),
        ({"stream": "true"}, b"", 415, "empty"),
        ({"stream": "true", "voice": "x"}, b"", 404, "voice"),
    ],
)
def test_what_is_known_before_the_first_sample_has_its_status(address, query, body, status, says):
    refused = post(address, body, **query)
    assert refused.status_code == status
    assert says in refused.json()["error"]


def broken(exported: Exported, after: int) -> Exported:
    """Return a sampler whose sound is not finite from a chunk on."""
    chunks = []

    def compute(noise, features, state):
        chunks.append(0)
        x, log_prob, later = exported.compute(noise, features, state)
        return x * (float("inf") if len(chunks) > after else 1.0), log_prob, later

    return Exported(exported.metadata, compute, exported.path)


def test_what_goes_wrong_on_the_way_cuts_the_answer_without_its_last_chunk(
    serving, exported, mel, caplog
):
    body = npy(np.repeat(mel, 10, 0))
    with serving(Limits(clients=1), sampler=broken(exported, 3)) as address:
        with pytest.raises(httpx.RemoteProtocolError):
            post(address, body, **STREAMED)
        assert "broke off" in caplog.text
        assert CLIENT.get(f"http://{address}/health").status_code == 200
    with serving(Limits(clients=1), sampler=broken(exported, 0)) as address:
        refused = post(address, body, **STREAMED)
        assert (refused.status_code, "not finite" in refused.text) == (400, True)


def test_what_takes_too_long_is_cut_off(serving, exported, mel):
    body = npy(np.repeat(mel, 10, 0))
    limits = Limits(timeout=0.5, clients=1)
    with serving(limits, sampler=slow(exported, 0.1)) as address:
        with pytest.raises(httpx.RemoteProtocolError):
            post(address, body, **STREAMED)
        assert CLIENT.get(f"http://{address}/health").status_code == 200
