"""Requests to a real server on loopback: answers, refusals, crowds and clients that hang up."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from distill.export import Exported
from distill.serving.examples import KINDS, find_examples
from distill.serving.limits import Limits
from distill.serving.pool import WorkerPool
from distill.serving.run import serve
from distill.serving.sinks import pcm
from distill.serving.voice import Voice

from .client import hung_up, npy, post, slow, sound, wave_of
from .conftest import BANDS, CLIENT, HOP, RATE, exchange


def test_a_mel_becomes_the_sound_that_the_file_synthesizes(address, exported, mel):
    response = post(address, npy(mel), seed=3, temperature=0.5)
    wanted = pcm(exported.synthesize(mel, seed=3, temperature=0.5)[0].numpy())
    got = wave_of(response)
    assert got.shape == (30 * HOP,)
    assert np.abs(got.astype(int) - wanted).max() <= 1
    assert np.ptp(got) > 100
    assert response.headers["x-seed"] == "3"


def test_json_and_npy_in_any_layout_give_the_same_sound(address, mel):
    plain = wave_of(post(address, npy(mel), seed=1))
    for body in (
        npy(mel.T),
        npy(mel[None].astype(np.float64)),
        json.dumps({"mel": mel.astype(float).tolist()}).encode(),
    ):
        assert np.array_equal(wave_of(post(address, body, seed=1)), plain)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_audio_becomes_the_sound_of_its_mel(address, kind):
    body = sound(kind=kind)
    frames = np.frombuffer(post(address, body, "/features").content, "<f4").reshape(-1, BANDS)
    assert len(frames) == -(-RATE // 2 // HOP)
    assert np.array_equal(
        wave_of(post(address, body, seed=1)), wave_of(post(address, npy(frames), seed=1))
    )


def test_a_full_disk_of_the_server_is_told_and_the_next_request_is_served(
    address, mel, monkeypatch
):
    def full(pool: WorkerPool) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(WorkerPool, "room", full)
        refused = post(address, npy(mel))
    assert refused.status_code == 507
    assert "disk is full" in refused.json()["error"]
    assert len(wave_of(post(address, npy(mel)))) == 30 * HOP


def test_an_answer_before_the_whole_body_says_that_the_line_ends(address, mel):
    early = post(address, npy(mel), temperature=-1)
    assert early.status_code == 400
    assert early.headers["connection"] == "close"
    assert "connection" not in post(address, npy(mel)).headers
    assert "connection" not in CLIENT.get(f"http://{address}/about").headers


def test_a_seed_is_drawn_and_told_where_none_is_given(address, mel):
    first, second = (post(address, npy(mel)) for _ in range(2))
    assert first.headers["x-seed"] != second.headers["x-seed"]
    again = post(address, npy(mel), seed=first.headers["x-seed"])
    assert again.content == first.content


def test_speakers_go_by_name_or_number(serving, many_voices):
    both = np.random.default_rng(0).normal(size=(10, BANDS + 2)).astype(np.float32)
    both[:, BANDS:] = np.log(200.0), 1.0
    with serving(sampler=many_voices) as address:
        anna = wave_of(post(address, npy(both), seed=0, speaker="anna"))
        assert np.array_equal(wave_of(post(address, npy(both), seed=0, speaker=0)), anna)
        assert not np.array_equal(wave_of(post(address, npy(both), seed=0, speaker="bert")), anna)
        body = json.dumps({"mel": both[:, :BANDS].tolist(), "f0": both[:, BANDS:].tolist()})
        assert np.array_equal(wave_of(post(address, body.encode(), seed=0, speaker="anna")), anna)
        for speaker in ({}, {"speaker": "carl"}, {"speaker": 2}):
            refused = post(address, npy(both), **speaker)
            assert refused.status_code == 400
            assert "anna, bert" in refused.json()["error"]
        about = CLIENT.get(f"http://{address}/about").json()
        assert about["labels"] == {"speaker": ["anna", "bert"]}
        assert about["frame"] == [{"name": "mel", "size": BANDS}, {"name": "f0", "size": 2}]


def test_about_says_what_is_served(address, exported):
    about = CLIENT.get(f"http://{address}/about").json()
    assert about["sample_rate"] == RATE
    assert about["latency_seconds"] == 2 * HOP / RATE
    assert about["weights"] == exported.metadata.weights
    assert about["limits"]["seconds"] == 3.0


def test_fifty_clients_at_once_each_get_what_they_get_alone(serving, mel):
    def ask(number: int) -> bytes:
        rows, seed = np.roll(mel[:12], number, 0), number % 7
        if number % 2:
            return exchange(address, rows, 1 + number % 5, seed=seed, temperature=0.5)[0].tobytes()
        return post(address, npy(rows), seed=seed, temperature=1 + number / 100).content

    with serving() as address:
        alone = [ask(number) for number in range(50)]
        with ThreadPoolExecutor(50) as pool:
            together = list(pool.map(ask, range(50)))
    assert len(set(alone)) == 50
    assert together == alone


def test_whoever_comes_when_all_places_are_taken_is_asked_to_come_again(serving, exported, mel):
    limits = Limits(clients=2, workers=1, retry_after=7)
    body = npy(np.repeat(mel, 10, 0))
    with serving(limits, sampler=slow(exported, 0.05)) as address:
        lines = [hung_up(address, body) for _ in range(2)]
        time.sleep(0.2)
        refused = post(address, npy(mel))
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "7"
        assert "2 places" in refused.json()["error"]
        for line in lines:
            line.close()
        time.sleep(0.2)
        assert len(wave_of(post(address, npy(mel)))) == 30 * HOP


@pytest.mark.parametrize("part", [0.1, 1.0], ids=["while sending", "while waiting"])
def test_clients_that_hang_up_free_their_places(serving, exported, mel, part):
    body = npy(np.repeat(mel, 60, 0))  # 57 chunks: more than a second
    with serving(Limits(clients=3, workers=1), sampler=slow(exported, 0.05)) as address:
        for _ in range(3):
            lines = [hung_up(address, body, part) for _ in range(3)]
            time.sleep(0.05)
            for line in lines:
                line.close()
            time.sleep(0.15)
        began = time.monotonic()
        assert len(wave_of(post(address, npy(mel)))) == 30 * HOP
        assert time.monotonic() - began < 1


def test_what_takes_too_long_is_ended_with_a_reason(serving, exported, mel):
    limits = Limits(timeout=0.2, upload=0.2, clients=1)
    body = npy(np.repeat(mel, 10, 0))
    with serving(limits, sampler=slow(exported, 0.1)) as address:
        late = post(address, body)
        assert late.status_code == 504
        assert "0.2 s" in late.json()["error"]
        with hung_up(address, body, part=0.5) as line:
            assert line.recv(1000).startswith(b"HTTP/1.1 408")
        assert len(wave_of(post(address, npy(mel[:2])))) == 2 * HOP


def test_a_sound_that_is_not_finite_is_refused(serving, exported, mel):
    def compute(noise, features, state):
        x, log_prob, after = exported.compute(noise, features, state)
        return x * float("inf"), log_prob, after

    with serving(sampler=Exported(exported.metadata, compute, exported.path)) as address:
        refused = post(address, npy(mel))
    assert refused.status_code == 400
    assert "not finite" in refused.json()["error"]


def test_our_own_mistakes_are_answered_too(serving, exported, mel):
    def compute(*_):
        raise ZeroDivisionError

    with serving(sampler=Exported(exported.metadata, compute, exported.path)) as address:
        failed = post(address, npy(mel))
        assert (failed.status_code, failed.json()["error"][:17]) == (500, "ZeroDivisionError")
        assert CLIENT.get(f"http://{address}/about").status_code == 200


def test_other_addresses_than_loopback_want_to_be_asked_for(exported):
    with pytest.raises(ValueError, match="public=true"):
        serve({"student": Voice(exported)}, host="0.0.0.0")


def test_a_port_that_is_taken_is_named(exported):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"{port}.*port="):
            serve({"student": Voice(exported)}, port=port)
    with pytest.raises(ValueError, match="65535"):
        serve({"student": Voice(exported)}, port=70_000)


@pytest.mark.parametrize("name", ["clients", "seconds", "timeout"])
def test_limits_of_nothing_are_refused(name):
    with pytest.raises(ValueError, match=f"limits.{name}"):
        Limits(**{name: 0})


def test_examples_are_found_in_folders_and_as_evaluation_leaves_them(tmp_path: Path):
    left = [f"{kind}_0" for kind in (*KINDS, "noise")]
    for name in ("b/reference", "b/student", *left):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(sound(0.1))
    found = find_examples(tmp_path)
    assert [(clip.name, list(clip.sounds)) for clip in found] == [
        ("b", ["reference", "student"]),
        ("clip 0", list(KINDS)),
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no examples"):
        find_examples(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_examples(tmp_path / "c")


def test_examples_are_handed_out_while_they_are_there(serving, tmp_path: Path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "reference.wav").write_bytes(sound(0.1))
    with serving(examples=find_examples(tmp_path)) as address:
        about = CLIENT.get(f"http://{address}/about").json()
        (clip,) = about["examples"]
        assert clip == {"name": "one", "sounds": {"reference": "/examples/0/reference.wav"}}
        got = CLIENT.get(f"http://{address}{clip['sounds']['reference']}")
        assert got.content == sound(0.1)
        (tmp_path / "one" / "reference.wav").unlink()
        gone = CLIENT.get(f"http://{address}{clip['sounds']['reference']}")
    assert gone.status_code == 404
    assert gone.json()["error"]
