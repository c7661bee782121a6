"""The page of all keys of the configs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from building.arguments import Key
from building.keys import (
    home_of,
    keys_of,
    keys_of_group,
    keys_of_stages,
    option_groups,
    summary_of,
    targets,
)
from distill.cli.config_groups import defaults
from distill.stages import STAGES
from distill.stages.reads import READS


def page() -> str:
    """Return the page."""
    lines = [_INTRODUCTION, "## Keys of every stage", *_table(keys_of_stages()[""])]
    lines += ["## Keys of single stages", "Each stage takes these beside the ones above."]
    for stage, keys in keys_of_stages().items():
        if stage:
            about = f"{STAGES[stage][0].upper()}{STAGES[stage][1:]}."
            read = ", ".join(f"`{name}`" for name in READS[stage]) or "no others"
            lines += [f"### {stage}", f"{about} Reads {read}.", *_table(keys)]
    lines += ["## Groups", "`GROUP=OPTION` chooses one; what it sets can be set anew by its key."]
    places = _places()
    for group, options in option_groups().items():
        where = ", ".join(f"`{place}`" for place in places.get(group, [])) or "no key of its own"
        lines += [f"### {group}", f"Stands at {where}."]
        bare = group == "benchmark"
        lines += _table(keys_of_group(group)) if bare else _choices(group, options)
    lines += ["## Classes", "What a node with this `_target_` takes."]
    for target in targets():
        lines += [f"### {target}", _text(summary_of(target)), *_table(keys_of(target))]
    return "\n\n".join(lines) + "\n"


_INTRODUCTION = """# Configuration

Every key with its type, its default and its meaning, written from `conf/` and from what the classes
say of themselves.

- `KEY=VALUE` sets a key: `seed=1`, `student.layers=8`, `data.conditions=[mel,f0]`,
  `teacher.outer=null`.
- `GROUP=OPTION` chooses a file of `conf/GROUP`: `objective=reverse_kl`. A group that stands at
  another key is chosen with it: `optimizer@student_trainer.optimizer=adamw`,
  `features@data.mel=tacotron2`, `+export@exports.int8=onnx_int8`.
- A node with a `_target_` names a class or function, and takes all of its arguments, whether they
  stand in a file or not. An argument that is a class is a node too, and with `_partial_: true` a
  factory of it.
- `distill STAGE --cfg job` prints what a stage would run with; `distill STAGE --help` the
  choices."""


def _places() -> dict[str, list[str]]:
    """Return the keys at which each group stands."""
    found: dict[str, list[str]] = {}
    for group in defaults("base"):
        name, _, place = group.partition("@")
        found.setdefault(name, []).append(place or name)
    found["export"].append("exports.NAME")
    found["optimizer"] = [f"{place}.optimizer" for place in found["trainer"]]
    return found | {"features": ["data.mel"], "experiment": ["all of them"], "debug": ["several"]}


def _choices(group: str, options: Iterable[tuple[str, str, list[str], str]]) -> list[str]:
    if group in ("experiment", "debug"):  # what they set is their file: too long for a cell
        rows = ["| option | what |", "|---|---|"]
        rows += [f"| `{name}` | {_text(said)} |" for name, said, _, _ in options]
        return ["\n".join(rows)]
    rows = ["| option | what | class | sets |", "|---|---|---|---|"]
    for name, said, classes, sets in options:
        linked = ", ".join(map(_link, classes))
        rows.append(f"| `{name}` | {_text(said)} | {linked} | {_code(sets)} |")
    return ["\n".join(rows)]


def _table(keys: Iterable[Key]) -> list[str]:
    rows = []
    for key in keys:
        cells = (_code(key.name), _code(key.type), _code(key.default, "required"))
        rows.append(f"| {' | '.join(cells)} | {_text(key.meaning)} |")
    head = ["| key | type | default | meaning |", "|---|---|---|---|"]
    return ["\n".join([*head, *rows])] if rows else []


def _code(text: str | None, otherwise: str = "") -> str:
    """Return code for a cell, which may break between its parts."""
    if not text:
        return otherwise if text is None else ""
    return ", ".join(f"`{part}`" for part in text.replace("|", r"\|").split(", "))


def _text(text: str) -> str:
    """Return text for a cell: a bar would end it, and what stands in angles would be HTML."""
    text = _SETTING.sub(r"`\1`", text.replace("\n", " "))
    parts = re.split(r"(\$[^$]+\$|`[^`]+`)", text)
    return "".join(_PART.get(part[:1], _words)(part) for part in parts)


_SETTING = re.compile(r"(?<![^\s(])([+~]*[a-z]\w*(?:[.@]\w+)*=\S*[^\s.,;:)])")
"""`KEY=VALUE` in a comment, where nobody has marked it as code."""


def _words(text: str) -> str:
    return re.sub(r"([|<_])", r"\\\1", text)


_PART = {
    "$": lambda formula: formula.replace(r"\|", r"\Vert ").replace("|", r"\vert "),
    "`": lambda code: code.replace("|", r"\|"),
}


def _link(target: str) -> str:
    short = target.rpartition(".")[2]
    known = {home_of(t): t for t in targets()}.get(home_of(target))
    if known is None:
        page = f"https://docs.pytorch.org/docs/stable/generated/{target}.html"
        return f"[{short}]({page})" if target.startswith("torch.") else f"`{short}`"
    return f"[{short}](#{re.sub(r'[^a-z0-9_-]', '', known.lower())})"
