"""Which exported file a stage speaks with."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from distill.export import Exported, load
from distill.stages.folders import root_of


def exported_of(config: DictConfig) -> Exported:
    """Load `file`, or without one RUN/export/student.onnx.

    Errors:
        FileNotFoundError: There is no such file, with the command that writes it.
        ValueError: What is there is no exported sampler.
    """
    if config.file is not None:
        return load(Path(config.file).expanduser())
    path = root_of(config) / "export" / "student.onnx"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no export there. Run `distill export run={root_of(config)}` first, or name a "
            "file with file=."
        )
    return load(path)
