"""The commands of docs/ compose, its snippets run, and the files it names exist."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.cli import main
from distill.contract import DataSpec, FeatureSpec
from distill.export import Exported
from distill.export.graph import SamplingGraph
from distill.models import wavenet_iaf
from distill.networks import HarmonicEncoder
from tests.test_readme import ROOT, commands

DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
COMMANDS = {" ".join(words): words for text in DOCS.values() for words in commands(text)}
EXPERIMENTS = ROOT / "conf" / "experiment"
STREAMING = DOCS["streaming.md"]


def test_there_are_commands_to_check() -> None:
    assert {words[0] for words in COMMANDS.values()} >= {"export", "stream", "serve", "benchmark"}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_every_command_composes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    # A later stage knows what its run was made with; here there is none, but for its name.
    runs = [re.match(r"run=runs/(\w+)", word) for word in words]
    made = [found[1] for found in runs if found and (EXPERIMENTS / f"{found[1]}.yaml").is_file()]
    if made and not any(word.startswith("experiment=") for word in words):
        words = [words[0], f"experiment={made[0]}", *words[1:]]
    assert main([*words, "--cfg", "job"]) == 0
    assert "overwrite: " in capsys.readouterr().out


@pytest.mark.parametrize("name", DOCS)
def test_the_files_it_names_exist(name: str) -> None:
    named = re.findall(r"`((?:distill|scripts|tests|conf)/[\w/.]+)`", DOCS[name])
    linked = re.findall(r"\]\(([\w./-]+\.(?:md|py))(?:#[\w-]+)?\)", DOCS[name])
    missing = [path for path in named if not (ROOT / path).exists()]
    assert not missing + [path for path in linked if not (ROOT / "docs" / path).exists()]


def test_the_slim_snippet_is_the_script() -> None:
    (snippet,) = re.findall(r"```python slim\n(.*?)```", STREAMING, re.DOTALL)
    assert snippet in (ROOT / "scripts" / "slim_synthesis.py").read_text()
    assert len([line for line in snippet.splitlines() if line.strip()]) < 30


def test_the_snippet_of_streaming_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    two = FeatureSpec("frames", 2, optional=True)
    features = {"mel": FeatureSpec("frames", 64), "f0": two, "phase": two}
    spec = DataSpec(None, features=features, sample_rate=8000, hop=4)
    encoder = partial(HarmonicEncoder, mode="repeat", look_ahead=2)
    graph = SamplingGraph(wavenet_iaf(spec, [1], 1, channels=4, encoder=encoder))
    voice = Exported(graph.metadata, torch.no_grad()(graph.forward), "eager")
    files = {"runs/digits/export/student.onnx": voice}
    monkeypatch.setattr("distill.export.load", files.__getitem__)
    np.save(tmp_path / "frames.npy", np.ones((9, 64), np.float32))
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"```python\n(.*?)```", STREAMING, re.DOTALL)
    names: dict = {}
    exec(snippet, names)
    torch.testing.assert_close(torch.cat(names["pieces"]), names["x"][0], rtol=0, atol=1e-5)
