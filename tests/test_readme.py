"""The README's snippet runs, its commands compose, and the files it names exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from distill.cli import main
from distill.models import iaf, maf
from distill.stages import STAGES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def commands(text: str = README) -> list[list[str]]:
    """Return every `distill STAGE ...` of a document, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`(distill [^`]+)`", text)
    found = [shlex.split(line, comments=True) for line in lines if line.startswith("distill ")]
    return [
        words[1:]
        for words in found
        if words[1] in STAGES and len(words) > 2 and words[-1] not in ("...", "--help")
    ]


def test_there_are_commands_to_check() -> None:
    assert {words[0] for words in commands()} >= {"teacher", "student", "pipeline", "sample"}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_composes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--cfg", "job"]) == 0
    assert "overwrite: " in capsys.readouterr().out


def test_the_snippet_without_configs_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [line for line in SNIPPETS[0].splitlines() if line]
    assert len(lines) <= 10
    names: dict = {}
    exec(SNIPPETS[0], names)
    assert names["x"].shape == (1000, 2)
    wanted = names["points"].std(0)
    assert abs(names["x"].std(0).numpy() / wanted - 1).max() < 0.25


def test_the_snippet_of_a_run_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    from distill.contract import DataSpec
    from distill.models import freeze

    models = {
        "runs/moons/teacher": freeze(maf(DataSpec(sites=2), hidden=[4])),
        "runs/moons/student": freeze(iaf(DataSpec(sites=2), hidden=[4])),
    }
    monkeypatch.setattr("distill.training.checkpoint.load", models.__getitem__)
    snippet = SNIPPETS[1]
    names: dict = {}
    exec(snippet, names)
    assert names["draw"].x.shape == (4096, 2)
    assert names["kl"].isfinite()
    assert names["x"].shape == (1000, 2)


def test_the_files_it_names_exist() -> None:
    named = re.findall(
        r"\((scripts/[^)]+|docs/[^)]+|[A-Z]+\.md)\)|`((?:distill|scripts)/[\w/.]+)`", README
    )
    paths = [first or second for first, second in named]
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path).exists()]
