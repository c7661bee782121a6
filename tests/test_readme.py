"""The README's commands compose, and the files it names exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from distill.cli import main
from distill.stages import STAGES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


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
    assert {words[0] for words in commands()} >= {"pipeline", "sample", "export", "stream"}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_composes(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--cfg", "job"]) == 0
    assert "run: " in capsys.readouterr().out


def test_the_snippet_has_ten_lines() -> None:
    """It runs as a part of docs/start.md."""
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in snippet.splitlines() if line]) <= 10


def test_fifteen_lines_make_a_voice_of_a_folder_of_speech(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (snippet,) = re.findall(r"```python speech\n(.*?)```", README, re.DOTALL)
    assert len([line for line in snippet.splitlines() if line]) <= 15
    (tmp_path / "recordings").mkdir()
    at = np.arange(11_025) / 22_050
    for hertz in (110, 130, 150, 170):
        voice = sum(np.sin(2 * np.pi * hertz * k * at) / k for k in range(1, 9))
        soundfile.write(tmp_path / "recordings" / f"{hertz}.wav", 0.1 * voice, 22_050)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    smaller = {"9000": "1", "6000": "1", "5120": "2560", "18": "2", "[8, 8, 8]": "[2]", "64": "8"}
    for size, other in smaller.items():
        assert size in snippet
        snippet = snippet.replace(size, other)
    names: dict[str, Any] = {}
    exec(snippet, names)
    assert names["sound"].shape == (1, names["mel"].shape[1] * 256)
    assert names["sound"].std() > 0


def test_the_files_it_names_exist() -> None:
    named = re.findall(
        r"\((scripts/[^)]+|docs/[^)]+|[A-Z]+\.md)\)|`((?:distill|scripts)/[\w/.]+)`", README
    )
    paths = [first or second for first, second in named]
    assert len(paths) > 10
    assert not [path for path in paths if not (ROOT / path).exists()]
