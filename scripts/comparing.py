"""What the scripts that compare trainings share: stages as commands, a run's own words, tables."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def distill(*words: str) -> None:
    """Run a stage in a process of its own; where it fails, end."""
    if subprocess.run([sys.executable, "-m", "distill", *words], check=False).returncode:
        raise SystemExit(f"failed: distill {' '.join(words)}")


def words_of(run: Path, *without: str) -> list[str]:
    """Return what a run's teacher was made with, but for words that begin in one of these ways."""
    own = json.loads((run / "teacher" / "overrides.json").read_text())
    return [word for word in own if not word.startswith(("run=", "teacher_trainer", *without))]


def take_over(stage: str, run: Path, folder: Path) -> None:
    """Copy a stage of a run into another one, unless it is there."""
    if not (folder / stage).exists():
        shutil.copytree(run / stage, folder / stage)


def parser_of(doc: str, names: Iterable[str], count: int) -> argparse.ArgumentParser:
    """Return a parser that knows how many clips to compare, and which rows to make."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("--count", type=int, default=count, help="of clips to compare")
    parser.add_argument("--only", nargs="*", choices=list(names), help="some of the rows")
    return parser


def heading(*titles: str) -> str:
    """Return the first two lines of a Markdown table."""
    return f"| {' | '.join(titles)} |\n" + "|---" * len(titles) + "|"
