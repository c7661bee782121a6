"""A model's fixed numbers, which no file holds: made again where it comes from `meta`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from distill.instantiate import build


def fixed_of(model: nn.Module) -> set[str]:
    """Return the names of buffers that are not saved.

    Example:
        >>> from distill.contract import DataSpec
        >>> from distill.models import nice
        >>> sorted(fixed_of(nice(DataSpec(sites=2), layers=1, hidden=[4])))
        ['bijector.layers.0.changed', 'bijector.layers.0.kept']
    """
    return {
        f"{place}.{name}" if place else name
        for place, module in model.named_modules()
        for name in module._non_persistent_buffers_set
        if module._buffers[name] is not None
    }


def fixed_on_meta(model: nn.Module) -> set[str]:
    """Return the names of those that have no numbers now."""
    return {name for name in fixed_of(model) if model.get_buffer(name).is_meta}


def make_again(model: Any, names: Iterable[str]) -> None:
    """Give buffers the numbers that a model has when it is built; one made by hand keeps none.

    Arguments:
        model: On the device where its weights are to be.
        names: Of its buffers.
    """
    names, node = list(names), getattr(model.recipe, "node", None)
    if not names or not node:
        return
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        twin = build(node, spec=model.spec)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    for name in names:
        place, _, leaf = name.rpartition(".")
        owner = model.get_submodule(place)
        owner._buffers[leaf] = twin.get_buffer(name).to(device, owner._buffers[leaf].dtype)
