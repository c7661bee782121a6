"""The texts of `distill --help` and `distill STAGE --help`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import distill
from distill.cli.config_groups import config_dir, defaults, groups
from distill.cli.overrides import COMMON
from distill.stages import STAGES
from distill.stages.reads import BEGINS, POSITIONAL, keys_of

_EXAMPLES = (
    ("distill pipeline experiment=moons", "teacher to benchmark, into runs/moons"),
    ("distill teacher experiment=moons run=mine", "one stage, into mine/teacher"),
    ("distill student run=mine objective=reverse_kl", "go on in the same run folder"),
    ("distill sample run=mine", "draw from what it holds"),
    ("distill compare runs/moons mine", "their settings and metrics side by side"),
    ("distill pipeline experiment=moons -m seed=0,1,2 'run=runs/moons-${seed}'", "three runs"),
    ("distill student --help", "what a stage does and takes"),
    ("distill student --cfg job experiment=moons", "the config it would run with"),
)


def overview() -> str:
    """Return the text of `distill --help`."""
    stages = "\n".join(f"  {name:<12}{line}" for name, line in STAGES.items())
    width = max(len(command) for command, _ in _EXAMPLES[:4]) + 2
    examples = "\n".join(
        f"  {command:<{width}}# {what}" if len(command) < width else f"  {command}   # {what}"
        for command, what in _EXAMPLES
    )
    return f"""Distill an autoregressive teacher into a parallel student.

usage: distill STAGE [key=value ...] [options]

stages:
{stages}

experiments, experiment=NAME:
{fill(", ".join(_experiments()), 96, initial_indent="  ", subsequent_indent="  ")}

others:
  completion  print the completion script of a shell: eval "$(distill completion bash)"

examples:
{examples}

options, after a stage:
{_options()}
  --version         (without a stage) print the version"""


def _experiments() -> list[str]:
    return groups([config_dir()])["experiment"]


def of_stage(stage: str, folders: Sequence[Path] = ()) -> str:
    """Return the text of `distill STAGE --help`.

    Arguments:
        stage: Its name.
        folders: The user's own config folders.
    """
    options = groups([config_dir(), *folders])
    chosen, read = defaults(stage), keys_of(stage)
    offered = {
        group: options[group.split("@")[0]]
        for group in chosen
        if group.split("@")[0] in options and is_offered(stage, group)
    }
    width = max([len(group) for group in offered], default=0) + 2
    lines = []
    for group, names in offered.items():
        # The mark stays on its option's line.
        marked = [f"{name}\0(default)" if name == chosen[group] else name for name in names]
        indent = " " * (width + 2)
        text = fill(f"  {group:<{width}}{', '.join(marked)}", 96, subsequent_indent=indent)
        lines.append(text.replace("\0", " "))
    words = "RUN ... " if stage in POSITIONAL else ""
    common = "\n".join(
        f"  {key + '=':<12}{entry.text}" for key, entry in COMMON.items() if key in read
    )
    return f"""{stage}: {STAGES[stage]}

{_docstring(stage)}

usage: distill {stage} {words}[key=value ...] [options]

choices, GROUP=OPTION:
{chr(10).join(lines) or "  none"}

settings, KEY=VALUE:
{common}
  any other   `distill {stage} --cfg job` shows the keys; a part that names its class with
              _target_ takes every argument of that class (student.layers=8)

options:
{_options()}"""


def is_offered(stage: str, group: str) -> bool:
    """Return whether a choice says something to a stage, or for the run that it begins.

    Example:
        >>> is_offered("sample", "objective"), is_offered("student", "trainer@student_trainer")
        (False, True)
    """
    place = group.rpartition("@")[2].split(".")[0]
    return stage in BEGINS or place in (*keys_of(stage), "experiment", "debug")


def _options() -> str:
    return """  --cfg job         print the config and stop (--resolve fills in references)
  --info defaults   print where the config comes from
  --config-dir DIR  add your own configs: DIR/experiment/mine.yaml gives experiment=mine
  -m, --multirun    run once for every combination of comma-separated values
  --traceback       show the traceback of an error (or set DISTILL_TRACEBACK=1)
  -h, --help        this text"""


def _docstring(stage: str) -> str:
    # Parsed, not imported: importing a stage loads PyTorch, which takes seconds.
    path = Path(distill.__file__).parent / "stages" / f"{stage}.py"
    if not path.is_file():
        return ""
    return inspect.cleandoc(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
