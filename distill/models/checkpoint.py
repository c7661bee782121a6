"""Checkpoints: written whole or not at all, read without running any code in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from distill.arrays import is_plain, read_pt
from distill.checks import path_of
from distill.contract import DataSpec
from distill.files import atomic_write
from distill.instantiate import build
from distill.models.density import Density
from distill.models.recipe import recipe_of
from distill.trust import check_near

NAME = "checkpoint.pt"
_FORMAT = 1
_EXPORTED = (".onnx", ".pt2")
_PARTS = {
    "format": int,
    "role": str,
    "config": dict,
    "spec": dict,
    "weights": dict,
    "training": dict,
}


@dataclass
class Checkpoint:
    """A model that knows how it was made.

    Arguments:
        role: Which config node built it, `teacher` or `student`.
        config: The resolved config of the run.
        spec: What the model knows of its data.
        weights: The weights to use (averaged, where training averages).
        training: What resuming needs; empty for a model that is only used.
        made_from: What it was made from: the data's identity, the hash of a teacher's weights.
    """

    role: str
    config: dict[str, Any]
    spec: DataSpec
    weights: Mapping[str, torch.Tensor]
    training: dict[str, Any] = field(default_factory=dict)
    made_from: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path, name: str = NAME) -> None:
        """Write `folder/checkpoint.pt`; a crash leaves the former one as it was.

        Arguments:
            folder: Of the stage.
            name: Of the file, for one that is kept beside the last.
        """
        values = {
            "format": _FORMAT,
            "role": self.role,
            "config": self.config,
            "spec": self.spec.to_dict(),
            "weights": dict(self.weights),
            "training": self.training,
            "made_from": self.made_from,
        }
        with atomic_write(folder / name) as draft, draft.open("wb") as file:
            torch.save(values, file)

    def model(self, trusted: Sequence[str] = ()) -> Density:
        """Build the model and load its weights.

        Errors:
            ValueError: The config names what a file may not have built, or builds no model; the
                weights belong to another model than it builds now.
        """
        model = self._build(trusted)
        kinds = {value.dtype for value in self.weights.values() if value.is_floating_point()}
        if len(kinds) == 1:  # as it was saved, where all of it was in one precision
            model.to(kinds.pop())
        try:
            model.load_state_dict(self.weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"checkpoint: the {self.role}'s weights are not those of the model that its config "
                f"builds in this version ({reason}). Use the version of distill that wrote it, or "
                "train again."
            ) from error
        return model.eval()

    def _build(self, trusted: Sequence[str]) -> Density:
        if not self.config.get(self.role):
            raise ValueError(
                f"checkpoint: the {self.role} was put together by hand, and the file doesn't say "
                "how. Build it again and load read_checkpoint(path).weights into it; a function "
                "or class under @distill.register is remembered."
            )
        try:
            check_near(self.config[self.role])
            model = build(self.config[self.role], trusted=trusted, spec=self.spec)
        except (ValueError, OSError):
            raise
        except Exception as error:  # A config out of a file may be anything.
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            raise ValueError(
                f"checkpoint: the {self.role}'s config builds no model in this version ({reason}). "
                "Use the version of distill that wrote it, or train again."
            ) from error
        if not isinstance(model, nn.Module):
            raise ValueError(
                f"checkpoint: the {self.role}'s config builds a {type(model).__name__}, wanted a "
                "model. Train again, or restore the file."
            )
        return model  # type: ignore[return-value]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint file, or the one in a folder, into the CPU's memory.

    Errors:
        FileNotFoundError: There is none.
        ValueError: It is cut short or damaged, of another program, or holds more than plain data.
    """
    path = path_of(path, "checkpoint")
    file = path / NAME if path.is_dir() or not path.suffix else path
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: no checkpoint there. Train one first (distill teacher, distill student), or "
            "name the folder that holds it, as in run=runs/moons."
        )
    if file.name.endswith(_EXPORTED):
        raise ValueError(
            f"{file}: wanted a checkpoint, got an exported sampler. Load it by distill.export.load."
        )
    try:
        values = read_pt(file, "cpu", sums=True)
    except Exception as error:
        raise ValueError(
            f"{file}: not a readable checkpoint: it is cut short or damaged, or holds something "
            "else than tensors and plain data, which is never run. Train again, or restore the "
            "file."
        ) from error
    try:
        _check_parts(values)
        if values["format"] != _FORMAT:
            raise ValueError(
                f"{file}: wanted checkpoint format {_FORMAT}, got {values['format']}. Use the "
                "version of distill that wrote it."
            )
        spec = DataSpec.from_dict(values["spec"])
        return Checkpoint(
            values["role"],
            values["config"],
            spec,
            values["weights"],
            values["training"],
            values.get("made_from") or {},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file}: a torch file, but not a checkpoint of distill (no {error}). Name the "
            "folder that a training stage wrote."
        ) from error


def _check_parts(values: Any) -> None:
    """Raise unless the parts of a checkpoint are of the types that `save` writes.

    Errors:
        KeyError: One is missing.
        TypeError: One is something else.
    """
    if not isinstance(values, dict):
        raise TypeError(f"parts: a {type(values).__name__}")
    for name, kind in _PARTS.items():
        if not isinstance(values[name], kind):
            raise TypeError(f"{name}: it is a {type(values[name]).__name__}")
    # What is absent in files of earlier versions, by nested names.
    node = values
    for name in ("made_from", "data", "spec"):
        node = node.get(name) or {}
        if not isinstance(node, dict):
            raise TypeError(f"{name}: it is a {type(node).__name__}")
    for name, value in values["weights"].items():
        if not isinstance(name, str) or not is_plain(value):
            raise TypeError(f"plain weights {str(name)[:40]}")


def save(model: Density, path: str | Path) -> Path:
    """Save a model with how it was built, for `load`, the command line and other processes.

    Arguments:
        model: Built by one of our builders, or by your own under `register`.
        path: The file (.pt), or a folder, which then holds `checkpoint.pt`.

    Returns the file.

    Errors:
        ValueError: No model, one that does not know how it was built, or was changed since; a file
            of another kind.

    Example:
        >>> import tempfile
        >>> from distill.models import maf
        >>> model = maf(DataSpec(sites=2), layers=1, hidden=[4])
        >>> file = save(model, Path(tempfile.mkdtemp()) / "model.pt")
        >>> load(file).log_prob(torch.zeros(1, 2)).shape
        torch.Size([1, 2])
    """
    if not isinstance(model, Density):
        raise ValueError(f"save: wanted a model of distill, got {type(model).__name__}.")
    path = path_of(path, "save")
    whole = path.is_dir() or not path.suffix
    if not whole and path.suffix.lower() != ".pt":
        raise ValueError(
            f"save: wanted a .pt file or a folder, got {path}. Write {path.stem}.pt, or make that "
            "folder first."
        )
    folder, name = (path, NAME) if whole else (path.parent, path.name)
    checkpoint = checkpoint_of(model)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save(folder, name)
    return folder / name


def checkpoint_of(model: Density) -> Checkpoint:
    """Return a model with how it was built, if that gives the same model back.

    Errors:
        ValueError: It does not know how it was built, or was changed since.
    """
    weights = {key: value.detach().cpu() for key, value in model.state_dict().items()}
    checkpoint = Checkpoint("model", {"model": recipe_of(model)}, model.spec, weights)
    with torch.random.fork_rng(devices=[]):
        try:
            same = _alike(checkpoint.model(), model)
        except ValueError:
            same = False
    if not same:
        raise ValueError(
            f"save: wanted the {type(model).__name__} as {checkpoint.config['model']['_target_']} "
            "builds it, got one that was changed since: a part, a setting, its spec, or a "
            "parametrization. Build it so in a function under @distill.register, or undo it "
            "(parametrize.remove_parametrizations)."
        )
    return checkpoint


def _alike(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = dict(one.named_buffers()), dict(other.named_buffers())
    return (
        repr(one) == repr(other)
        and {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in theirs.items()}
        and all(np.array_equal(_numbers(v), _numbers(theirs[k]), True) for k, v in mine.items())
    )


def _numbers(value: torch.Tensor) -> np.ndarray:
    return value.detach().double().cpu().numpy()


def load(
    path: str | Path, device: str | torch.device = "cpu", trusted: Sequence[str] = ()
) -> Density:
    """Load the model that `save` or a training stage wrote, ready to score and sample.

    Arguments:
        path: The file, or the stage's folder (`runs/moons/teacher`).
        device: Where the model goes.
        trusted: Packages, beside `distill`, whose classes its config may name.

    Errors:
        FileNotFoundError: There is no checkpoint.
        ValueError: It can't be read, its config names a class that is not trusted, or there is no
            such device.
    """
    model = read_checkpoint(path).model(trusted)
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(f"load: device={device} can't be used here: {reason}.") from error
