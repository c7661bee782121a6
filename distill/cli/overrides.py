"""Overrides are looked at before anything runs: keys that exist, values of the right type.

Configs hold only what differs from a constructor's defaults, so a key may be good without standing
in any file: where its node names a class with `_target_`, every argument of the class may be set.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from distill.cli.config_groups import config_dir, groups
from distill.cli.positional import quoted
from distill.cli.quoting import split_at_commas
from distill.cli.types import TEXTS, accepts, hints_of, type_name
from distill.configs import composed
from distill.errors import suggest
from distill.instantiate import check_finite
from distill.renamed import REPLACED, check_key


class Common(NamedTuple):
    """A setting that every stage has: its type, and a line about it."""

    type: Any
    text: str


COMMON = {
    "run": Common(str | None, "the run folder; runs/<experiment> by default"),
    "seed": Common(int, "makes a run reproducible; 0 by default"),
    "device": Common(str, "auto (default), cpu, cuda, cuda:1 (of several) or mps"),
    "threads": Common(int | None, "CPU threads, all by default; small networks want 1"),
    "resume": Common(bool, "true: continue what the run folder holds"),
    "overwrite": Common(bool, "true: replace it"),
    "trusted": Common(list[str], "packages of your own that a checkpoint may build from"),
}
_TYPES = {
    **dict.fromkeys(TEXTS, str | None),
    **dict.fromkeys(("host", "model", "name", "pace", "part", "student_encoder"), str),
    **dict.fromkeys(("check", "examples"), bool | str | None),
    "metrics": list[str] | None,
    **{key: common.type for key, common in COMMON.items()},
}


def checked(
    stage: str, texts: Sequence[str], folder: str | None = None, multirun: bool = False
) -> list[str]:
    """Check overrides against a stage's config and return them in the form that Hydra takes.

    Arguments:
        stage: The stage, which is also the name of its primary config.
        texts: The overrides as typed.
        folder: The user's own config folder.
        multirun: Whether comma-separated values are a sweep.

    Errors:
        ValueError: An unknown key, with the near ones, or a value of another type.
        HydraException: What Hydra finds wrong by itself.
    """
    own = [Path(folder)] if folder else []
    parsed = OverridesParser.create().parse_overrides(list(texts))
    known = groups([config_dir(), *own])
    plain = [_is_plain(override, known) for override in parsed]
    new = [_is_new(override, known) for override in parsed]
    pairs = zip(parsed, plain, new, strict=True)
    rest = [_one_value(override, multirun) for override, *checks in pairs if not any(checks)]
    config = composed(stage, rest, own)
    if config.trusted:
        raise ValueError(
            f"trusted: a config file sets it to {list(config.trusted)}, and only the command line "
            "may. Take it out of the file, and say trusted=[...] yourself."
        )
    for key in REPLACED:  # a file of the user's own may still hold one
        path, _, name = key.rpartition(".")
        node = OmegaConf.select(config, path) if path else config
        if isinstance(node, DictConfig) and name in node:
            check_key(key)
    for override, is_new in zip(parsed, new, strict=True):
        if is_new:
            _check_new(config, override.key_or_group, texts, known)
    # Another option of a swept group may not hold what the first one does.
    groups_swept = multirun and any(
        override.is_sweep_override() and override.key_or_group in known for override in parsed
    )
    return [
        _check(config, override, text, known, multirun, groups_swept) if is_plain else text
        for override, text, is_plain in zip(parsed, texts, plain, strict=True)
    ]


def _is_plain(override: Override, known: dict[str, list[str]]) -> bool:
    """Whether an override changes the value of a key: no group, no prefix, not Hydra's own."""
    key = override.key_or_group
    own = key.startswith(("hydra.", "hydra/")) or key.split("@")[0] in known
    return not (own or override.is_add() or override.is_force_add() or override.is_delete())


def _is_new(override: Override, known: dict[str, list[str]]) -> bool:
    """Whether an override may add a key beside those that stages read."""
    key, adds = override.key_or_group, override.is_add() or override.is_force_add()
    return adds and not (override.package or key in known or "." in key or "/" in key)


def _check_new(
    config: DictConfig, key: str, texts: Sequence[str], known: dict[str, list[str]]
) -> None:
    """Raise where a key is added that nothing takes: no stage has it, and nothing refers to it."""
    # In a sweep's jobs Hydra writes references as $\{key\}.
    used = re.compile(rf"\$\\?\{{[^}}]*\b{re.escape(key)}\b")
    if key not in config.keys() and not used.search("\n".join([*texts, OmegaConf.to_yaml(config)])):  # noqa: SIM118
        raise ValueError(_unknown(key, config, known))


def _one_value(override: Override, multirun: bool) -> str:
    text = override.input_line or ""
    if multirun and override.is_sweep_override():
        first = next(override.sweep_string_iterator())
        return f"{text.partition('=')[0]}={first}"
    return text


def _check(
    config: DictConfig,
    override: Override,
    text: str,
    known: dict[str, list[str]],
    multirun: bool,
    force: bool,
) -> str:
    key = override.key_or_group
    check_key(key)
    path, _, name = key.rpartition(".")
    node = OmegaConf.select(config, path) if path else config
    if not isinstance(node, DictConfig):
        at = OmegaConf.select(config, key) if OmegaConf.is_list(node) else None
        if at is not None:
            return text
        raise ValueError(_unknown(key, config, known))
    arguments = {parameter.name: parameter.annotation for parameter in _parameters(node)}
    hint = _TYPES.get(key, arguments.get(name))
    written = name in node.keys()  # noqa: SIM118 - `in node` is false for a value of ???
    if not written and name not in arguments:
        raise ValueError(_unknown(key, config, known, _settable(node)))
    if force or not written:
        text = f"++{text}"
    if hint is None and written and not OmegaConf.is_missing(node, name):
        held = OmegaConf.to_container(node, resolve=False)[name]  # type: ignore[call-overload,index]
        hint = _type_of(held, may_lack=path == "exports")
    if override.is_sweep_override() and not multirun:
        raise ValueError(_several(key, override, hint))
    if override.is_interval_sweep():
        return text  # each job checks what a search has chosen
    start, _, said = text.partition("=")
    values = split_at_commas(said) if override.is_sweep_override() else [said]
    if override.is_sweep_override() and len(values) == 1:  # of a function, as range(1,4)
        for value in override.sweep_string_iterator():
            _fitting(config, key, hint, value)
        return text
    return f"{start}={','.join(_fitting(config, key, hint, value) for value in values)}"


def _fitting(config: DictConfig, key: str, hint: Any, said: str) -> str:
    """Return a value as typed, in quotes where it looks like a number and a text is wanted.

    Errors:
        ValueError: It is of another type.
    """
    value = OverridesParser.create().parse_override(f"{key}={said}").value()
    if isinstance(value, str) and not value.strip() and key != "run":  # which says it by itself
        raise ValueError(f"{key}: no value. Give one with {key}=VALUE, or leave it out.")
    check_finite(value, key)
    if accepts(hint, value):
        return said
    if isinstance(value, bool | int | float) and accepts(hint, str(value)):
        return f"'{said}'"  # as in data.word=2024
    raise ValueError(f"{key}: wanted {type_name(hint)}, got {value!r}.{_parts(config, key)}")


def _several(key: str, override: Override, hint: Any) -> str:
    values = (override.input_line or "").partition("=")[2]
    ways = ["several values want -m, which runs once for each"]
    if accepts(hint, "word"):
        ways.append(f'quote a comma: "{key}={quoted(values)}"')
    if accepts(hint, []):
        ways.append(f"a list is written '{key}=[{values}]'")
    return f"{key}: {'; '.join(ways)}."


def _parts(config: DictConfig, key: str) -> str:
    """Return how to change a part of what a key holds, where it holds a mapping."""
    held = OmegaConf.select(config, key)
    names = [str(name) for name in held] if isinstance(held, DictConfig) else []
    return f" Set its parts, as in {key}.{names[-1]}=VALUE, or leave it out." if names else ""


def _type_of(value: Any, may_lack: bool = False) -> Any:
    """Return the type that a plain value stands for; 1 may stand for 1.0, a text for anything.

    Arguments:
        value: What the config holds.
        may_lack: Whether `null` leaves out a part that is built.
    """
    if isinstance(value, dict):
        built = "_target_" in value and not may_lack
        return Mapping[str, Any] if built else Mapping[str, Any] | None
    if isinstance(value, list):
        numbers = [isinstance(part, int | float) for part in value]
        return list[float] if numbers and all(numbers) else list[Any]
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float | None
    return None


def _parameters(node: DictConfig) -> list[inspect.Parameter]:
    """Return the arguments of a node's `_target_`, their annotations as types."""
    target = OmegaConf.select(node, "_target_")
    if target is None:
        return []
    callable_ = get_object(target)
    hints = hints_of(callable_)
    return [
        parameter.replace(annotation=hints.get(name))
        for name, parameter in inspect.signature(callable_).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


def _settable(node: DictConfig) -> set[str]:
    """Return what a user may set: written keys, and arguments with a default."""
    written = {str(name) for name in node if not str(name).startswith("_")}
    return written | {p.name for p in _parameters(node) if p.default is not p.empty}


def _unknown(
    key: str, config: DictConfig, known: dict[str, list[str]], siblings: set[str] | None = None
) -> str:
    path, _, name = key.rpartition(".")
    near = {f"{path}.{other}" if path else other for other in siblings or ()}
    keys = {*_keys(config), *known, *near}
    hint = suggest(key, keys)
    if not hint:
        same = sorted(other for other in keys if other.rpartition(".")[2] == name)
        hint = f" Did you mean {' or '.join(same[:3])}?" if same else ""
    if path and siblings:
        return f"{key}: unknown key.{hint} {path} takes: {', '.join(sorted(siblings))}."
    return f"{key}: unknown key.{hint} `--cfg job` shows the keys."


def _keys(node: Any, path: str = "") -> list[str]:
    """Return every dotted key of a config."""
    if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
        return []
    found = []
    for name, value in node.items_ex(resolve=False):
        key = f"{path}.{name!s}" if path else str(name)
        found += [key, *_keys(value, key)]
    return found
