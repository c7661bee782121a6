"""Which precision a training computes in: chosen by hardware and model, then kept."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Precision:
    """A precision, and why it is taken.

    Arguments:
        name: `float32`, or `bfloat16` for mixed precision: large products in bfloat16, what makes
            densities (last layers, transforms, sums) in float32.
        why: In words.
    """

    name: str
    why: str

    def __str__(self) -> str:
        """Return the line that a training begins with."""
        return f"precision: {self.name} ({self.why})"

    def autocast(self, device: torch.device) -> AbstractContextManager:
        """Return the context to compute a loss in."""
        if self.name == "float32":
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16)


def choose(
    wanted: str, task: nn.Module, device: torch.device, kept: str | None = None
) -> Precision:
    """Choose the precision of a training.

    `auto` takes bfloat16 where the device has units for it and the models gain from it: networks
    say so by an attribute `gains_from_bfloat16`, and where several do, all have to. A training that
    goes on keeps the precision that it was begun in, since that shapes its curve.

    Arguments:
        wanted: `auto`, `float32` or `bfloat16`.
        task: What is trained, with all that it computes.
        device: Where.
        kept: What the training was begun in.

    Example:
        >>> str(choose("auto", nn.Linear(1, 1), torch.device("meta")))
        'precision: float32 (this device has no units for bfloat16)'
    """
    units, here = has_bfloat16_units(device), _named(device)
    if kept is not None:
        slow = kept == "bfloat16" and not units
        also = f"; {here} has no units for it, so it is slow" if slow else ""
        return Precision(kept, f"as the run was begun{also}")
    if wanted == "bfloat16" and not units:
        return Precision(wanted, f"as asked; {here} has no units for it, so it is slow")
    if wanted != "auto":
        return Precision(wanted, "as asked")
    if not units:
        return Precision("float32", f"{here} has no units for bfloat16")
    said = [bool(m.gains_from_bfloat16) for m in task.modules() if _says(m)]
    if not said or not all(said):
        return Precision("float32", "these networks don't gain from bfloat16")
    return Precision("bfloat16", f"{here} has units for it")


def has_bfloat16_units(device: torch.device | str = "cpu") -> bool:
    """Return whether a device multiplies bfloat16 in hardware; elsewhere it is many times slower.

    Example:
        >>> has_bfloat16_units("meta")
        False
    """
    device = torch.device(device)
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # private, or a build without oneDNN
        return False


def _says(module: nn.Module) -> bool:
    return hasattr(module, "gains_from_bfloat16")


def _named(device: torch.device) -> str:
    return {"cpu": "this CPU", "cuda": "this GPU"}.get(device.type, "this device")
