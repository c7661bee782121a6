"""Compose the config of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from distill.cli.config_groups import config_dir


def composed(stage: str, overrides: Sequence[str], own: Sequence[Path] = ()) -> DictConfig:
    """Return the config that Hydra composes, inside a job of its own too.

    Arguments:
        stage: The stage, which is also the name of its primary config.
        overrides: In the form that Hydra takes.
        own: The user's own config folders.

    Example:
        >>> composed("teacher", ["experiment=moons"]).name
        'moons'
    """
    search = [f"hydra.searchpath=[{folder.resolve().as_uri()}]" for folder in own]
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            return compose(stage, [*overrides, *search])
    finally:
        GlobalHydra.instance().hydra = running
