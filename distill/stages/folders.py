"""Run folders: where stages find each other's work, and what protects it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from distill.differences import difference
from distill.export.metadata import digest
from distill.models import Flow
from distill.models.checkpoint import NAME, Checkpoint, read_checkpoint
from distill.sharing import count_of
from distill.stages.differences import FREE
from distill.stages.manifest import COMPLETE, read_manifest
from distill.stages.typed_overrides import config_path_of, typed_overrides
from distill.training.sessions import device_here
from distill.trust import BEYOND

MODELS = ("teacher", "student")
_WHOLE = ("experiment", "debug")
"""Options that say something of every node."""
_DEVICE = re.compile(r"cpu|cuda(:\d+)?|mps")


def root_of(config: DictConfig) -> Path:
    """Return the run folder; `run=` may also name a model's folder inside it.

    Errors:
        ValueError: It is empty, or no Unicode, which TensorBoard can't write to.
    """
    if not str(config.run or "").strip():
        raise ValueError("run: wanted a folder, got none. Name one, as in run=runs/mine.")
    try:
        str(config.run).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(
            f"run: wanted a folder whose name is UTF-8, as TensorBoard does, got {config.run!r}. "
            "Name another."
        ) from None
    path = Path(config.run).expanduser()
    if path.name in MODELS and (path / NAME).is_file():
        return path.parent
    return path


def device_of(config: DictConfig) -> torch.device:
    """Choose the device, `auto` taking CUDA's where there is one, and the number of CPU threads.

    Errors:
        ValueError: An unknown device, one that is not there, or no threads.
    """
    if config.threads is not None:
        if config.threads < 1:
            raise ValueError(f"threads: wanted 1 or more, or null for all, got {config.threads}.")
        torch.set_num_threads(config.threads)
    if count_of() > 1:
        return device_here(str(config.device))
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name, _, index = str(config.device).partition(":")
    if not _DEVICE.fullmatch(str(config.device)):
        raise ValueError(
            f"device: wanted auto, cpu, cuda, cuda:N (the N-th GPU, from 0) or mps, got "
            f"{config.device!r}."
        )
    here = {"cpu": 1, "cuda": _gpus(), "mps": int(torch.backends.mps.is_available())}[name]
    if not here:
        kind = "GPU that CUDA can use" if name == "cuda" else "Apple GPU"
        raise ValueError(f"device={config.device}: no {kind} here. Use device=auto or device=cpu.")
    if int(index or 0) >= here:
        there = ", ".join(f"cuda:{i}" for i in range(here))
        raise ValueError(f"device={config.device}: no such GPU here. Use one of {there}.")
    return torch.device(config.device)


def _gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def check_ways(config: DictConfig) -> None:
    """Raise if a stage is told both to go on and to begin anew."""
    if config.resume and config.overwrite:
        raise ValueError(
            "resume=true keeps and continues what is there, overwrite=true replaces it: choose one."
        )


def saved_model(config: DictConfig, role: str) -> Checkpoint:
    """Read the checkpoint of a run's teacher or student, and say what speaks against it.

    That is, if it is half trained, or not the one that its training left.

    Errors:
        FileNotFoundError: That stage has not run, with the command that runs it.
    """
    return saved_in(root_of(config), role)


def saved_in(root: Path, role: str) -> Checkpoint:
    """Do what `saved_model` does, for a run's folder."""
    folder = root / role
    if not (folder / NAME).is_file():
        raise FileNotFoundError(
            f"{folder}: no {role} there. Run `distill {role} run={root}` with the same "
            "experiment first, or name another run."
        )
    saved = read_checkpoint(folder)
    record = read_manifest(folder)
    if record is None:
        return saved
    if record.state != COMPLETE:
        _note(
            f"{folder} is half trained: it is at step {saved.training.get('step', '?')}, and its "
            f"training is {record.state}. It is used as it is."
        )
    elif record.made.get("weights") not in (None, weights_of(saved)):
        _note(
            f"{folder / NAME} is not the one that its training left (manifest.json): it was "
            "exchanged. It is used as it is."
        )
    return saved


def student_of(config: DictConfig, saved: Checkpoint) -> Flow:
    """Build the run's student.

    Errors:
        ValueError: What lies in its place does not draw in parallel.
    """
    student = saved.model(config.trusted)
    if not isinstance(student, Flow):
        raise ValueError(
            f"{root_of(config) / 'student'}: wanted a flow, which draws in parallel, and it holds "
            f"a {type(student).__name__}. Distill a student there, or name another run."
        )
    return student


def note_other_teacher(config: DictConfig, student: Checkpoint, teacher: Checkpoint) -> None:
    """Say so if a run's student was distilled from another teacher than the run holds."""
    was, root = student.made_from.get("teacher"), root_of(config)
    if was not in (None, weights_of(teacher)):
        _note(
            f"{root / 'student'} was distilled from another teacher than {root / 'teacher'} holds "
            "now. It is compared with that one."
        )


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)


def weights_of(saved: Checkpoint) -> str:
    """Return the hash of a model's weights, which exported files carry too."""
    return digest(saved.weights)


def check_same(folder: Path, saved: Any, mine: Any, parts: Sequence[str]) -> None:
    """Raise if a folder was made from other settings, naming the first that differs."""
    old, new = ({part: of.get(part) for part in parts} for of in (saved, mine))
    found = difference(old, new, FREE)
    if found:
        raise ValueError(
            f"{folder}: holds another experiment: here {found}. Name another folder with run=, or "
            "the experiment it was made with."
        )


def _on_this_machine(node: Any) -> Any:
    """Leave out what a file may not say for the user: a cluster to work on, a download."""
    if not isinstance(node, dict):
        return node
    return {key: _on_this_machine(value) for key, value in node.items() if key not in BEYOND}


def saved_node(config: DictConfig, saved: Checkpoint, group: str) -> DictConfig:
    """Return a node of the config that a model was made with, under what is said now.

    An experiment that is typed says how to measure, and may not say other data.

    Errors:
        ValueError: Another option of the group was chosen, which is not what the model was made
            with; the model was not made by a stage.
    """
    if group not in saved.config:
        raise ValueError(
            f"{root_of(config)}: its {saved.role} was saved in Python, and doesn't say its "
            f"{group}. Go on in Python, or train one by `distill teacher` and `distill student`."
        )
    node = OmegaConf.create({group: _on_this_machine(saved.config[group])})
    nested, whole = OmegaConf.create({}), None
    for override in typed_overrides():
        place = config_path_of(override)
        if place == group:
            _check_chosen(config, saved.config[group], group, override)
        elif override.key_or_group in _WHOLE:
            whole = override
        if place == group or place.startswith(f"{group}."):
            value = OmegaConf.select(config, place)
            OmegaConf.update(nested, place, value, force_add=True)
    merged = OmegaConf.merge(node, nested)
    assert isinstance(merged, DictConfig)
    if whole is None:
        return merged[group]
    if group == "evaluation":
        return config[group]
    _check_chosen(config, OmegaConf.to_container(merged[group], resolve=True), group, whole)
    return merged[group]


def _check_chosen(config: DictConfig, own: Any, group: str, override: Override) -> None:
    """Raise if what an override chooses is another node than a run's own."""
    chosen = OmegaConf.to_container(config[group], resolve=True)
    other = difference({group: own}, {group: chosen}, FREE)
    if other:
        raise ValueError(
            f"{override.input_line}: {root_of(config)} was made with other {group}: here {other}. "
            f"Leave it out, or change parts of it, as in {group}.path=elsewhere."
        )
