"""`distill stream`: short inputs cost little, and what raw frames lack is a word or a list."""

from __future__ import annotations

import io
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distill.cli import main
from distill.export import Exported
from distill.export.graph import SamplingGraph
from distill.export.stream import Rows
from distill.stages import stream
from tests.export.students import CASES, HOP, finding

CHUNK = 10**11  # frames: more than any memory


def speaking(monkeypatch, model) -> None:
    graph = SamplingGraph(model)
    exported = Exported(graph.metadata, torch.no_grad()(graph.forward), "eager")
    monkeypatch.setattr(stream, "exported_of", lambda _: exported)


@pytest.fixture
def sites(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of how many samples were computed at once."""
    speaking(monkeypatch, CASES["transposed, logistic"]())
    drawn: list[int] = []
    run = Rows._run

    def spy(self, frames, count):
        drawn.append(count)
        return run(self, frames, count)

    monkeypatch.setattr(Rows, "_run", spy)
    return drawn


@pytest.mark.parametrize("entrance", ["file", "stdin"])
def test_ten_frames_in_a_huge_chunk_are_ten_frames_of_work(
    tmp_path: Path, monkeypatch, sites, entrance
):
    mel = np.zeros((10, 5), np.float32)
    np.save(tmp_path / "mel.npy", mel)
    pipe = types.SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(mel.tobytes())))
    monkeypatch.setattr(stream.sys, "stdin", pipe)
    given = tmp_path / "mel.npy" if entrance == "file" else "-"
    words = [f"input={given}", f"output={tmp_path / 'a.wav'}", f"chunk={CHUNK}"]
    assert main(["stream", *words]) == 0
    assert len(soundfile.read(tmp_path / "a.wav")[0]) == 10 * HOP
    assert sum(sites) == 2 * 10 * HOP  # once to warm up


def test_rows_may_go_without_a_feature_that_is_found(tmp_path: Path, monkeypatch):
    speaking(monkeypatch, finding())
    frames = np.concatenate([np.zeros((9, 8)), np.full((9, 2), [5.0, 1.0])], 1)
    pipe = types.SimpleNamespace(buffer=io.BytesIO(frames.astype("<f4").tobytes()))
    monkeypatch.setattr(stream.sys, "stdin", pipe)
    words = ["input=-", f"output={tmp_path / 'a.wav'}", "without=[phase]"]
    assert main(["stream", *words]) == 0
    assert len(soundfile.read(tmp_path / "a.wav")[0]) == 9 * HOP


@pytest.mark.parametrize(("key", "name"), [("input", "stdin"), ("output", "__stdout__")])
def test_a_pipe_that_is_closed_is_refused_by_name(tmp_path: Path, monkeypatch, capsys, key, name):
    np.save(tmp_path / "mel.npy", np.zeros((10, 5), np.float32))
    speaking(monkeypatch, CASES["transposed, logistic"]())
    monkeypatch.setattr(stream.sys, name, None)
    given = {"input": tmp_path / "mel.npy", "output": tmp_path / "a.wav", key: "-"}
    assert main(["stream", *(f"{k}={v}" for k, v in given.items())]) == 2
    assert f"{key}=-: {name.strip('_')} is closed" in capsys.readouterr().err


def test_stages_work_with_their_output_closed(tmp_path: Path, monkeypatch, capsys):
    np.save(tmp_path / "mel.npy", np.zeros((10, 5), np.float32))
    speaking(monkeypatch, CASES["transposed, logistic"]())
    monkeypatch.setattr(stream.sys, "stdout", None)
    given = f"input={tmp_path / 'mel.npy'}"
    assert main(["stream", given, f"output={tmp_path / 'a.wav'}"]) == 0
    assert main(["stream", given, f"output={tmp_path / 'a.txt'}"]) == 2
    assert "wanted a .wav file" in capsys.readouterr().err
