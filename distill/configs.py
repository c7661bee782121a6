"""The folder of the configs, in a working tree or an installed package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import distill

if TYPE_CHECKING:
    from omegaconf import DictConfig

_TURNS = RLock()
"""Of threads: Hydra composes one config of a process at a time."""


def config_dir() -> Path:
    """Return the folder of configs: inside an installed package, beside it in a working tree.

    Errors:
        FileNotFoundError: Neither is there.
    """
    package = Path(distill.__file__).parent
    for folder in (package / "conf", package.parent / "conf"):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"{package / 'conf'}: the configs are missing. Install distill again; pip carries them."
    )


def composed(name: str, overrides: Sequence[str] = (), own: Sequence[Path] = ()) -> DictConfig:
    """Return a config as Hydra composes it, inside an application or a job of Hydra's too.

    Arguments:
        name: Of the primary config; for a stage its own.
        overrides: In the form that Hydra takes.
        own: The user's own config folders.

    Example:
        >>> composed("teacher", ["experiment=moons"]).name
        'moons'
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    search = [f"hydra.searchpath=[{folder.resolve().as_uri()}]" for folder in own]
    with _TURNS:
        running = GlobalHydra.instance().hydra
        GlobalHydra.instance().clear()
        try:
            with initialize_config_dir(str(config_dir()), version_base="1.3"):
                return compose(name, [*overrides, *search])
        finally:
            GlobalHydra.instance().hydra = running
