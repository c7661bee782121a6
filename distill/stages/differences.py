"""Differences of configs and of data sets, by which runs are resumed or refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from distill.differences import difference, short
from distill.renamed import current_config
from distill.stages.reads import READS, UNREAD
from distill.training.described import free_settings

HELD = ("data.cache", "data.memory", "data.workers", "data.cluster", "data.cache_limit")
"""Keys that say how data is prepared and held."""
FREE = ("data.path", *HELD, "data.layout.download")
"""Keys that don't shape results: where data lies and how it is held. Its content is compared."""
_PARTS = ("train", "held_out", "validation", "unheard")


def config_of(
    config: DictConfig, stage: str, model: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a stage reads of a config, resolved, with the run's name, and its seed if read.

    Arguments:
        config: As composed.
        stage: Its name.
        model: The config that a model was made with which the stage uses: the name is of there.
    """
    every = dict.fromkeys(("name", "run", "seed", *READS[stage]))
    keys = [key for key in every if key in config and key not in UNREAD.get(stage, ())]
    found: dict[str, Any] = {}
    for key in keys:
        value = config[key]
        plain = OmegaConf.is_config(value)
        found[key] = OmegaConf.to_container(value, resolve=True) if plain else value
    if model is not None and "name" in model:
        found["name"] = model["name"]
    return found


def training_difference(old: Mapping[str, Any], new: Mapping[str, Any], role: str) -> str | None:
    """Return the first difference that would bend a resumed curve.

    What may change: more steps, logging, checkpoints, where the data lies, and, where no patience
    watches, the evaluation. A precision of `auto` goes on in what the training was begun in.

    Arguments:
        old: The config that a training was begun with.
        new: That it is to go on with.
        role: `teacher`, `student` or `classifier`.
    """
    key, old = f"{role}_trainer", current_config(old)
    keys = [name for name in READS[role] if name in old]
    settings = {"seed": old.get("seed"), **{name: old[name] for name in keys}}
    wanted = {"seed": new.get("seed"), **{name: new.get(name) for name in keys}}
    own = free_settings(old.get(key) or {}, new.get(key) or {})
    free = [*FREE, *(f"{key}.{name}" for name in own)]
    if (new.get(key) or {}).get("precision", "auto") == "auto":
        free.append(f"{key}.precision")
    if "patience" in own:
        free.append("evaluation")
    return difference(settings, wanted, free)


def data_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Return how data differs from what a model was made with, by name where it has names."""
    if not old or not new:
        return None
    if old.get("kind") != new.get("kind"):
        return f"it is {new.get('kind')}, and was {old.get('kind')}"
    before, after = _names(old), _names(new)
    for word, names in (("new", after - before), ("gone", before - after)):
        if names:
            return f"{len(names)} {word}, first {short(min(names))}"
    moved = set(new.get("train") or ()) & (before - set(old.get("train") or ()))
    if moved:
        return f"{len(moved)} held-out ones would be trained on, first {short(min(moved))}"
    rows = old.get("rows"), new.get("rows")
    if None not in rows and rows[0] != rows[1]:
        return f"{rows[1]} rows in place of {rows[0]}"
    if old.get("values") != new.get("values"):
        return "its values are others"
    was, now = (of.get("spec") or {} for of in (old, new))
    # What is fitted to the values tells less than how loud or wide they are.
    for key in ("loc", "scale"):
        found = difference({key: was.get(key)}, {key: now.get(key)})
        if found:
            return found
    return difference(was, now)


def fingerprint(identity: Mapping[str, Any]) -> str:
    """Return a hash of a data set's identity; the number of rows follows from the rest."""
    identity = {key: value for key, value in identity.items() if key != "rows"}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _names(identity: Mapping[str, Any]) -> set[str]:
    """Return the names of all values, whichever part they are in."""
    parts = (identity.get(part) or () for part in _PARTS)
    return {name for part in parts for name in part}
