"""One function mapped over parts of a work, by processes and by Ray."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distill.data.audio import AudioCorpus, LogMel
from distill.data.audio.parallel_map import parallel_map
from distill.interruption import Interrupted


def where(number: int) -> tuple[int, int]:
    if number < 0:
        raise ValueError(f"{number} is no number")
    return number, os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="processes start slowly elsewhere")
def test_processes_share_the_parts_and_pass_errors_on() -> None:
    if threading.active_count() > 1:
        pytest.skip("other threads: processes start afresh, and slowly")
    found = list(parallel_map(where, range(4), workers=2))
    assert sorted(number for number, _ in found) == [0, 1, 2, 3]
    assert os.getpid() not in {process for _, process in found}
    assert {process for _, process in parallel_map(where, range(2))} == {os.getpid()}
    with pytest.raises(ValueError, match="-1 is no number"):
        list(parallel_map(where, [3, -1, 4, 5], workers=2))


def linger(place: Path) -> None:
    (place / f"{os.getpid()}.begun").touch()
    try:
        time.sleep(60)
    finally:
        (place / f"{os.getpid()}.flushed").touch()


@pytest.mark.skipif(sys.platform != "linux", reason="processes start slowly elsewhere")
def test_a_signal_ends_all_processes_in_order_and_soon(tmp_path: Path) -> None:
    if threading.active_count() > 1:
        pytest.skip("other threads: processes start afresh, and slowly")

    def end(*_: object) -> None:
        if len(list(tmp_path.glob("*.begun"))) < 2:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
        else:
            raise Interrupted(signal.SIGTERM)

    former = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    began = time.monotonic()
    try:
        with pytest.raises(Interrupted):
            list(parallel_map(linger, [tmp_path] * 4, workers=2))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert time.monotonic() - began < 20
    assert len(list(tmp_path.glob("*.flushed"))) == 2


def test_a_cluster_without_ray_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"data\.cluster=auto: Ray is not installed"):
        list(parallel_map(where, [1], cluster="auto"))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="no ray")
def test_ray_tasks_prepare_the_same_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    (tmp_path / "audio").mkdir()
    for i in range(4):
        x = 0.1 * np.random.default_rng(i).normal(size=4000 + i)
        soundfile.write(tmp_path / "audio" / f"{i}.wav", x, 8000)
    (tmp_path / "audio" / "4.wav").write_bytes(b"")
    mel = LogMel(bands=20, fft=256, window=256, hop=64, high=None)
    path, cache = str(tmp_path / "audio"), str(tmp_path / "cache")
    settings = {"sample_rate": 8000, "crop": 1024, "mel": mel}
    by_ray = AudioCorpus(path, cache=cache, cluster="local", **settings)  # type: ignore[arg-type]
    here = AudioCorpus(path, cache=None, **settings)  # type: ignore[arg-type]
    assert by_ray.scan == here.scan
    assert torch.equal(by_ray.train_batch(0, 4, 0).x, here.train_batch(0, 4, 0).x)
    again = AudioCorpus(path, cache=cache, **settings)  # type: ignore[arg-type]
    assert again.scan.recalled == 4
