"""The folder of the configs, in a working tree or an installed package."""

from __future__ import annotations

from pathlib import Path

import distill


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
