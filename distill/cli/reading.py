"""Refuse overrides of keys that a stage does not read, and cut its config to those it does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from distill.configs import composed
from distill.stages.reads import BEGINS, READS, keys_of, readers_of

_FIXED = {
    "teacher": "the run's teacher is as it was trained",
    "student": "the run's student is as it was trained",
}
_KNOWN = {key for stage in READS for key in keys_of(stage)}


def refuse_useless(stage: str, typed: Sequence[str]) -> None:
    """Raise if something typed would change nothing, neither now nor in a later stage of the run.

    Arguments:
        stage: The stage that is to run.
        typed: Overrides of the command line, without those replayed from a run.

    Errors:
        ValueError: A key that other stages read, and this one does not.

    Example:
        >>> refuse_useless("export", ["benchmark.repeats=3"])
        Traceback (most recent call last):
        ValueError: benchmark.repeats: export does not read it. Stages that do: benchmark, pipeline.
        Leave it out.
    """
    if stage in BEGINS:
        return
    for override in OverridesParser.create().parse_overrides(list(typed)):
        key = override.key_or_group
        top = (override.package or key).split(".")[0]
        if top in ("experiment", "debug", "hydra") or key.startswith(("hydra/", "hydra.")):
            continue
        used = any(f"${{{top}}}" in text for text in typed)  # as in run='runs/${seed}'
        if top in _KNOWN and top not in keys_of(stage) and not used:
            why = f": {_FIXED[top]}" if top in _FIXED else ""
            raise ValueError(
                f"{key}: {stage} does not read it{why}. Stages that do: "
                f"{', '.join(readers_of(top))}. Leave it out."
            )


def printed(stage: str, overrides: Sequence[str], folder: str | None, resolve: bool) -> str:
    """Return the config that a stage would run with, as YAML, for `--cfg job`."""
    config = composed(stage, overrides, [Path(folder)] if folder else [])
    names = [str(key) for key in config if not _is_foreign(stage, str(key))]
    if resolve:
        return OmegaConf.to_yaml(read_by(stage, config))
    return OmegaConf.to_yaml(OmegaConf.masked_copy(config, names))


def _is_foreign(stage: str, key: str) -> bool:
    return key in _KNOWN and key not in keys_of(stage)


def read_by(stage: str, config: DictConfig) -> DictConfig:
    """Return what a stage reads of a composed config, references resolved.

    Keys that no stage is known to read (of a config folder of the user's own) stay.
    """
    kept: dict[str, Any] = {}
    for key in config:
        name = str(key)
        if _is_foreign(stage, name):
            continue
        if OmegaConf.is_missing(config, name):
            kept[name] = "???"
            continue
        value = config[name]
        plain = OmegaConf.is_config(value)
        kept[name] = OmegaConf.to_container(value, resolve=True) if plain else value
    found = OmegaConf.create(kept)
    OmegaConf.set_struct(found, True)
    return found
