"""The pages of docs/ run, their commands compose, and what they name and link to exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf

from building import generated
from distill.cli import main
from distill.configs import composed
from distill.contract import DataSpec, FeatureSpec
from distill.export import Exported
from distill.export.graph import SamplingGraph
from distill.models import wavenet_iaf
from distill.networks import HarmonicEncoder
from tests.test_readme import ROOT, commands

PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "generated" not in path.parts]
DOCS = {path.relative_to(ROOT / "docs").as_posix(): path.read_text() for path in PAGES}
RUN = [name for name, text in DOCS.items() if "```python\n" in text and name != "streaming.md"]
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
    assert "run: " in capsys.readouterr().out


SETTING = re.compile(r"`[+]*([a-z]\w*(?:\.\w+)+)=[^`]*`")


def test_every_setting_that_a_page_names_is_one_of_some_stage() -> None:
    objectives = (ROOT / "conf" / "objective").glob("*.yaml")
    made = [composed("pipeline", [f"experiment={path.stem}"]) for path in EXPERIMENTS.glob("*")]
    made += [composed("pipeline", [f"objective={path.stem}"]) for path in objectives]
    made += [
        composed("export", ["+export@exports.int8=onnx_int8"]),
        composed("benchmark"),
        composed("serve"),
    ]
    plain: list[Any] = [OmegaConf.to_container(config) for config in made]
    named = {key for text in DOCS.values() for key in SETTING.findall(text)}
    assert len(named) > 20
    unknown = {key for key in named if not any(_takes(config, key.split(".")) for config in plain)}
    assert not {key for key in unknown if not key.startswith("hydra.")}


def _takes(node: dict[str, Any], key: list[str]) -> bool:
    """Whether a config holds a key, or the class that is built of a part of it takes it."""
    first, *rest = key
    if rest and isinstance(node.get(first), dict):
        return _takes(node[first], rest)
    arguments = signature(get_object(node["_target_"])).parameters if "_target_" in node else ()
    return first in node or first in arguments


LONG = {f"tutorials/{name}.md" for name in ("sound", "flows", "own")}  # they train for a while


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in RUN]
)
def test_a_page_runs_in_a_process_of_its_own(name: str, tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "run_page.py", ROOT / "docs" / name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("name", DOCS)
def test_what_it_names_and_links_to_exists(name: str) -> None:
    page = ROOT / "docs" / name
    made = {ROOT / "docs" / "generated" / f"{other}.md" for other in generated.pages()}
    named = [ROOT / p for p in re.findall(r"`((?:distill|scripts|tests|conf)/[\w/.]+)", DOCS[name])]
    linked = re.findall(r"\]\(([\w./-]+\.(?:md|py|png))(?:#[\w-]+)?\)", DOCS[name])
    paths = named + [(page.parent / path).resolve() for path in linked]
    assert not [path for path in paths if not path.exists() and path not in made]


def test_the_tests_behind_the_troubles_exist() -> None:
    named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", DOCS["troubleshooting.md"])
    assert len(named) > 20
    assert not [name for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]


def test_the_glossary_is_in_order_with_a_line_for_each_word() -> None:
    lines = DOCS["glossary.md"].split("\n\n", 2)[2].splitlines()
    words = [re.match(r"- \*\*(.+?)\*\*: .+\.$", line)[1].lower() for line in lines]
    assert words == sorted(words)


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
