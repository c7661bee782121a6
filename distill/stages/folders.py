"""Run folders: where stages find each other's work, and what protects it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from distill.training.checkpoint import NAME, Checkpoint, read_checkpoint

MODELS = ("teacher", "student")


def root_of(config: DictConfig) -> Path:
    """Return the run folder; `run=` may also name a model's folder inside it."""
    path = Path(config.run)
    if path.name in MODELS and (path / NAME).is_file():
        return path.parent
    return path


def device_of(config: DictConfig) -> torch.device:
    """Choose the device, `auto` taking a GPU where there is one, and the number of CPU threads.

    Errors:
        ValueError: An unknown device, a GPU where there is none, or no threads.
    """
    if config.threads is not None:
        if config.threads < 1:
            raise ValueError(f"threads: wanted 1 or more, or null for all, got {config.threads}.")
        torch.set_num_threads(config.threads)
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.device not in ("cpu", "cuda"):
        raise ValueError(f"device: wanted auto, cpu or cuda, got {config.device!r}.")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device=cuda: no usable GPU here. Use device=auto or device=cpu.")
    return torch.device(config.device)


def saved_model(config: DictConfig, role: str) -> Checkpoint:
    """Read the checkpoint of a run's teacher or student.

    Errors:
        FileNotFoundError: That stage has not run, with the command that runs it.
    """
    folder = root_of(config) / role
    if not (folder / NAME).is_file():
        raise FileNotFoundError(
            f"{folder}: no {role} there. Run `distill {role} run={root_of(config)}` with the same "
            "experiment first, or name another run."
        )
    return read_checkpoint(folder)


def claim_training_folder(config: DictConfig, role: str) -> Checkpoint | None:
    """Make sure a training stage may write; return the checkpoint to resume, if any.

    Errors:
        FileExistsError: The folder holds a model, and neither `resume` nor `overwrite` is set.
        ValueError: It is to be resumed, but holds another experiment.
    """
    folder = root_of(config) / role
    if not (folder / NAME).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        return None
    if config.resume:
        saved = read_checkpoint(folder)
        mine = OmegaConf.to_container(config, resolve=True)
        check_same(folder, saved.config, mine, (role, "data"))
        return saved
    if not config.overwrite:
        raise FileExistsError(
            f"{folder}: holds a {role} already. Continue it with resume=true, replace it with "
            "overwrite=true, or name another folder with run=."
        )
    for curves in folder.glob("events.out.tfevents.*"):  # TensorBoard would draw both as one.
        curves.unlink()
    return None


def check_same(folder: Path, saved: Any, mine: Any, parts: Sequence[str]) -> None:
    """Raise if a folder was made from other settings, naming the first that differs."""
    for part in parts:
        old, new = _flatten(saved.get(part)), _flatten(mine.get(part))
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                raise ValueError(
                    f"{folder}: holds another experiment: there {part}{key}={old.get(key)}, here "
                    f"{part}{key}={new.get(key)}. Name another folder with run=, or the experiment "
                    "it was made with."
                )


def user_overrides(config: DictConfig, group: str) -> DictConfig:
    """Return what the command line says of a group (`data.path=...`), as a config."""
    if not HydraConfig.initialized():
        return OmegaConf.create({})
    said = HydraConfig.get().overrides.task
    keys = [item.lstrip("+").partition("=")[0] for item in said]
    nested = OmegaConf.create({})
    for key in keys:
        if key.startswith(f"{group}."):
            OmegaConf.update(nested, key, OmegaConf.select(config, key), force_add=True)
    return nested


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flatten(inner, f"{prefix}.{key}")
    return flat
