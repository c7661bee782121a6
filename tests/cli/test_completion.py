"""Tab completion, asked through a real bash."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys

import pytest

from distill.cli.completion import script
from distill.cli.config_groups import config_dir
from distill.stages import STAGES

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture(name="complete")
def _complete(tmp_path):
    """A function that gives what a tab offers after a line."""
    command = tmp_path / "distill"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m distill "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)

    def complete(line: str) -> list[str]:
        ask = f'{script("bash")}\nCOMP_LINE="$1"; COMP_POINT=${{#1}}; _distill_completion\n'
        ask += 'printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(
            ["bash", "-c", ask, "bash", line],
            capture_output=True,
            text=True,
            check=True,
            cwd=config_dir().parent,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        )
        return [choice for choice in done.stdout.split("\n") if choice]

    return complete


def test_stages_are_offered_first(complete):
    assert complete("distill ") == [f"{stage} " for stage in (*STAGES, "completion")]
    assert complete("distill st") == ["student ", "stream "]


def test_shells_are_offered_to_completion(complete):
    assert complete("distill completion z") == ["zsh "]


def test_options_of_a_group_are_offered_after_its_name(complete):
    # bash ends words at "=", so only what follows it is offered.
    assert "moons " in complete("distill teacher data=m")


def test_keys_are_offered(complete):
    assert "seed=" in complete("distill teacher data=moons se")


def test_the_script_of_zsh_wraps_that_of_bash():
    assert "bashcompinit" in script("zsh")
    assert script("zsh").endswith(script("bash"))
