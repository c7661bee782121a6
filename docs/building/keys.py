"""Every key of the configs, from `conf/` and from what the classes say that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra.utils import get_object

from building.arguments import Key, arguments_of, plain
from distill.cli.config_groups import config_dir, defaults, groups
from distill.cli.overrides import COMMON
from distill.stages.reads import COMMON as EVERYWHERE
from distill.stages.reads import READS
from distill.trust import ALLOWED

_COMMENTED = re.compile(r"^(?P<key>\w+):(?: [^#\n]*)?# (?P<text>.+)$", re.MULTILINE)


def keys_of_stages() -> dict[str, list[Key]]:
    """Return the keys that are no parts with a class of their own: by stage, `""` for every."""
    parts = {group.rpartition("@")[2].partition(".")[0] for group in defaults("base")}
    read = {"": EVERYWHERE} | {stage: keys for stage, keys in READS.items() if stage != "pipeline"}
    return {
        stage: [_key(stage, name) for name in names if name not in parts]
        for stage, names in read.items()
    }


def keys_of(target: str) -> list[Key]:
    """Return the keys of a node with a `_target_`."""
    return arguments_of(get_object(target))


@cache
def targets() -> list[str]:
    """Return the classes and functions of ours that a config may name."""
    listed = {f"{home}.{name}" for home, names in ALLOWED.items() for name in names.split()}
    named = {t for path in config_dir().rglob("*.yaml") for t in _targets(_read(path))}
    kept = {home_of(t): t for t in sorted(listed | named, reverse=True)}  # one name for each
    return sorted(t for t in kept.values() if t.startswith("distill."))


def keys_of_group(group: str) -> list[Key]:
    """Return the keys of a group whose options name no class."""
    options = sorted((config_dir() / group).glob("*.yaml"))
    texts = [path.read_text(encoding="utf-8") for path in options]
    said = {key: text for content in texts for key, text in _COMMENTED.findall(content)}
    keys = {key: value for path in options for key, value in _read(path).items()}
    return [Key(k, _type_name(k, v), plain(v), said.get(k, "")) for k, v in keys.items()]


def option_groups() -> dict[str, list[tuple[str, str, list[str], str]]]:
    """Return of every group its options: name, comment, classes, and the keys they set."""
    found = {}
    for group, names in groups([config_dir()]).items():
        found[group] = [_option(config_dir() / group / f"{name}.yaml") for name in names]
    return found


def home_of(target: str) -> str:
    """Return the name of a class or function in the module that defines it."""
    thing = get_object(target)
    return f"{thing.__module__}.{thing.__qualname__}"


def _key(stage: str, name: str) -> Key:
    """Return a key of a primary config; what it means stands in its comment, or in `--help`."""
    primary = config_dir() / f"{stage}.yaml"
    files = [path for path in (primary, *(config_dir() / f for f in _SHARED)) if path.is_file()]
    for path in files:
        content = _read(path)
        if name in content:
            said = dict(_COMMENTED.findall(path.read_text(encoding="utf-8")))
            text = COMMON[name].text if name in COMMON else said.get(name, "")
            value = content[name]
            if isinstance(value, Mapping):
                return Key(name, "node", value["_target_"], text or summary_of(value["_target_"]))
            return Key(name, _type_name(name, value), plain(value), text)
        for group in (entry for entry in content.get("defaults", []) if isinstance(entry, dict)):
            if name in group:  # chosen by its group, and null by default
                said = re.search(rf"- {name}: [^#]*# (.*)", path.read_text(encoding="utf-8"))
                return Key(name, "node", plain(group[name]), said[1] if said else "")
    raise KeyError(f"{name}: no file of conf/ has it")


_SHARED = ("base.yaml", "common.yaml")


_TYPES = {
    **dict.fromkeys(("count", "chunk", "sites"), "int | None"),
    **dict.fromkeys(("speaker", "label"), "str | int | None"),
}
"""Of keys that are null by default; the others are texts."""


def _type_name(name: str, value: Any) -> str:
    if name in COMMON:
        kind = COMMON[name].type
        return kind.__name__ if isinstance(kind, type) else str(kind)
    return _TYPES.get(name, "str | None") if value is None else type(value).__name__


def _option(path: Path) -> tuple[str, str, list[str], str]:
    text = path.read_text(encoding="utf-8")
    comment = [
        line.removeprefix("# ")
        for line in text.splitlines()
        if line.startswith("# ") and "@package" not in line
    ]
    content = _read(path)
    classes = list(dict.fromkeys(_targets(content)))
    said = " ".join(comment) or (summary_of(classes[0]) if classes else "")
    sets = [f"{key}={value}" for key, value in _flat(content) if not key.endswith("_")]
    return path.stem, said, classes, ", ".join(sets)


def _flat(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif not (key == "defaults" and not before):
            yield f"{before}{key}", plain(value)


def summary_of(target: str) -> str:
    """Return the first line of its docstring."""
    return (get_object(target).__doc__ or "").strip().partition("\n")[0]


def _targets(content: Any) -> Iterator[str]:
    if isinstance(content, Mapping):
        if "_target_" in content:
            yield content["_target_"]
        for part in content.values():
            yield from _targets(part)


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
