"""Frames without what a model can find by itself: bodies, chunks, files and pipes."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch

from distill.contract import FeatureSpec
from distill.export import Exported
from distill.export.graph import SamplingGraph
from distill.frames import FrameLayout
from distill.networks import HarmonicEncoder
from distill.serving import open_source

from .conftest import BANDS, CLIENT, HOP, connect, exchange, spec, tiny

F0 = FeatureSpec("frames", 2, optional=True)


@pytest.fixture(scope="module")
def voiced() -> Exported:
    graph = SamplingGraph(tiny(spec(f0=F0, phase=F0), HarmonicEncoder))
    return Exported(graph.metadata, torch.no_grad()(graph.forward), "eager")


@pytest.fixture(scope="module")
def short() -> np.ndarray:
    """Return 12 frames of mel and F0."""
    mel = np.random.default_rng(0).normal(size=(12, BANDS))
    f0 = np.stack([np.log(np.linspace(100, 200, 12)), np.ones(12)], 1)
    return np.concatenate([mel, f0], 1).astype(np.float32)


def test_bodies_may_lack_what_the_model_finds(serving, voiced, short):
    file = io.BytesIO()
    np.save(file, short)
    body = {"mel": short[:, :BANDS].tolist(), "f0": short[:, BANDS:].tolist()}
    with serving(sampler=voiced) as address:
        url = f"http://{address}"
        npy = CLIENT.post(f"{url}/synthesize?seed=1", content=file.getvalue())
        assert npy.status_code == 200, npy.text
        rows = CLIENT.post(f"{url}/features", content=json.dumps(body).encode()).content
        full = np.frombuffer(rows, "<f4").reshape(12, BANDS + 4)
        assert np.array_equal(full[:, : BANDS + 2], short)
        assert np.isnan(full[:, BANDS + 2 :]).all()
        again = io.BytesIO()
        np.save(again, full)
        assert CLIENT.post(f"{url}/synthesize?seed=1", content=again.getvalue()).content == (
            npy.content
        )


def test_streams_say_first_what_their_frames_lack(serving, voiced, short):
    whole = voiced.synthesize(short, seed=4)[0].numpy()
    with serving(sampler=voiced) as address:
        got, _, _ = exchange(address, short, 5, seed=4, format="float32", without=["phase"])
        assert got == pytest.approx(whole, abs=1e-5)
        with connect(f"ws://{address}/stream") as socket:
            socket.send('{"without": ["mel"]}')
            assert "any of f0, phase" in json.loads(socket.recv())["error"]
        with connect(f"ws://{address}/stream") as socket:
            socket.send("{}")
            assert json.loads(socket.recv())["frame"][-1] == {"name": "phase", "size": 2}
            socket.send(short.tobytes()[:-8])
            assert "f0, phase may be left out" in json.loads(socket.recv())["error"]


def test_a_model_of_the_mel_has_nothing_to_leave_out(address, exported):
    with connect(f"ws://{address}/stream") as socket:
        socket.send('{"without": []}')
        assert "unknown setting" in json.loads(socket.recv())["error"]
    with pytest.raises(ValueError, match=r"can do without \(nothing\), got 'phase'"):
        FrameLayout(exported.metadata.spec, ["phase"])


def test_files_and_pipes_may_lack_it_too(voiced, short, tmp_path):
    np.save(tmp_path / "short.npy", short)
    layout = FrameLayout(voiced.metadata.spec)
    full = np.pad(short, ((0, 0), (0, 2)), constant_values=np.nan)
    parts = open_source(str(tmp_path / "short.npy"), layout, 5, io.BytesIO())
    assert np.array_equal(np.concatenate(list(parts)), full, equal_nan=True)
    pipe = io.BytesIO(short.tobytes())
    parts = open_source("-", FrameLayout(voiced.metadata.spec, ["phase"]), 5, pipe)
    assert np.array_equal(np.concatenate(list(parts)), full, equal_nan=True)
    # What is behind the feature that is left out stays what it is.
    full[:, BANDS:] = np.roll(full[:, BANDS:], 2, 1)
    pipe = io.BytesIO(short.tobytes())
    parts = open_source("-", FrameLayout(voiced.metadata.spec, ["f0"]), 5, pipe)
    assert np.array_equal(np.concatenate(list(parts)), full, equal_nan=True)
    with pytest.raises(ValueError, match="f0, phase may be left out"):
        list(open_source("-", layout, 5, io.BytesIO(short[:1].tobytes())))


def test_samples_of_the_hop_come_for_every_frame(voiced, short):
    assert voiced.synthesize(short, seed=0).shape == (1, 12 * HOP)
