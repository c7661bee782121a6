"""What was trained, as plain data: two trainings are compared by it before one goes on."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_FREE = ("steps", "accumulate", "log_every", "save_every", "keep", "keep_best", "prefetch")
_WATCHING = ("watch_every", "patience", "monitor")
_PLAIN = (str, int, float, bool, type(None))
_DEEPEST = 20


def described(value: Any, weights: bool = True, depth: int = 0) -> Any:
    """Return a value as dictionaries, lists, numbers and texts, the same in every process.

    Objects become their class and public attributes, functions their name, tensors a hash.

    Arguments:
        value: An objective, a model, the settings of a training.
        weights: Whether the weights of modules are told.
        depth: How far inside of the first value it lies.

    Example:
        >>> from distill.objectives import Ramp
        >>> described(Ramp(0.0, 1.0))["stop"]
        1.0
    """
    if isinstance(value, Enum) or depth > _DEEPEST:
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _PLAIN):
        return value
    inner = functools.partial(described, weights=weights, depth=depth + 1)
    if isinstance(value, Tensor | np.ndarray):
        return _hashed(torch.as_tensor(value))
    if isinstance(value, Mapping):
        return {str(key): inner(each) for key, each in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))  # their order is another in each process
    if isinstance(value, list | tuple):
        return [inner(each) for each in value]
    if isinstance(value, functools.partial):
        return {
            "function": _name(value.func),
            "args": inner([*value.args]),
            **inner(value.keywords),
        }
    if callable(value) and hasattr(value, "__qualname__"):  # a class or a function
        return _name(value)
    if not hasattr(value, "__dict__"):  # its own words, unless they are its address
        return _name(value) if " at 0x" in str(value) else str(value)
    found = {"class": _name(type(value))}
    hidden = isinstance(value, torch.distributions.Distribution)  # mixtures hide their parts
    for key, each in vars(value).items():
        if key != "training" and (hidden or not key.startswith("_")):
            found[key] = inner(each)
    if isinstance(value, nn.Module):
        own = value.named_buffers(recurse=False), value.named_parameters(recurse=False)
        for name, tensor in (pair for pairs in own for pair in pairs):
            found[name] = _hashed(tensor) if weights else str(tuple(tensor.shape))
        found |= {name: inner(child) for name, child in value.named_children()}
    return found


def free_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the trainer's settings that may change where a training goes on: more steps, say.

    Arguments:
        old: Settings that it was begun with.
        new: Those that it is to go on with.
    """
    return _FREE if old.get("patience") or new.get("patience") else (*_FREE, *_WATCHING)


def _hashed(tensor: Tensor) -> str:
    kept = tensor.detach().cpu().contiguous()
    content = kept.reshape(-1).view(torch.uint8).numpy().tobytes() if kept.numel() else b""
    return f"{tuple(kept.shape)} {hashlib.sha256(content).hexdigest()[:16]}"


def _name(value: Any) -> str:
    of = value if hasattr(value, "__qualname__") else type(value)
    return f"{of.__module__}.{of.__qualname__}"
