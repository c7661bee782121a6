"""All layers of a WaveNet: one after the other, or, where compiled loops may, in one stack."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.functional import has_hooks, is_as_built, recomputed
from distill.kernels.choice import may_compile
from distill.networks.gated_stack import Given, Stack
from distill.networks.wavenet_layer import WaveNetLayer, rows_of_layers

if TYPE_CHECKING:
    from distill.networks.context_reader import ContextBlocks
    from distill.networks.wavenet import WaveNet

_LEAST_ROWS = 64
"""Rows of a sequence from which pieces of many rows pay."""


def through_layers(net: WaveNet, h: Tensor, read: ContextBlocks, trains: bool) -> Tensor:
    """Return the sum of the skips `(B, N, S)`, or the last h where there are none.

    Arguments:
        net: The network.
        h: The input of its first layer, `(B, N, C)`.
        read: Of the context.
        trains: Whether a gradient passes.
    """
    layers: list[WaveNetLayer] = list(net.layers)  # type: ignore[arg-type]
    again = trains and net.recompute
    if not again and _fuses(net, layers, h, read):
        return _fused(net, layers, h, read)
    skips = []
    rows = rows_of_layers(net.from_context, read.rows, read.held, len(layers))
    for layer, row in zip(layers, rows, strict=True):
        compute = partial(layer.projecting, row, read.held)
        h, skip = recomputed(compute, h) if again else compute(h)
        skips.append(skip)
    return end_of_layers(net, h, skips)


def end_of_layers(net: WaveNet, h: Tensor, skips: list[Tensor]) -> Tensor:
    """Return the sum of the skips, or the last h of a network without them.

    Layers of a network without skips may return anything in their place.
    """
    return sum(skips[1:], skips[0].to(h.dtype)) if net.skip_channels else h


def _fuses(net: WaveNet, layers: list[WaveNetLayer], h: Tensor, read: ContextBlocks) -> bool:
    if h.shape[0] == 0 or h.shape[1] < _LEAST_ROWS:
        return False
    rows = () if read.rows is None else (read.rows,)
    parts = [*layers, *([] if net.from_context is None else [net.from_context])]
    weights = (weight for part in parts for weight in part.parameters())
    if not may_compile(h, *rows, *weights) or not all(map(layer_is_as_built, layers)):
        return False
    return net.from_context is None or is_as_built(net.from_context, nn.Linear)


def check_chunks(net: WaveNet) -> None:
    """Raise where chunks, for which layers have a method of their own, would leave out hooks."""
    if any(map(has_hooks, (net, *net.layers))):
        raise ValueError(
            "WaveNet: wanted layers without hooks, to run over chunks and in rounds: whole values "
            "alone run these. Draw whole values, or remove the hooks."
        )


def layer_is_as_built(layer: nn.Module) -> bool:
    """Return whether a layer is what its sizes say: none that replaces it, or hooks into it."""
    if not is_as_built(layer, WaveNetLayer):
        return False
    return all(is_as_built(part, nn.Linear) for part in (layer.taps, layer.out))  # type: ignore[arg-type]


def _fused(net: WaveNet, layers: list[WaveNetLayer], h: Tensor, read: ContextBlocks) -> Tensor:
    # Imported here: numba costs half a second, and only this needs it.
    from distill.networks.gated_stack_fast import GatedStack, stack_forward

    stack, given = stack_of(net, layers, h, read)
    if torch.is_grad_enabled() and any(t.requires_grad for t in (h, *given) if t is not None):
        result: Tensor = GatedStack.apply(stack, h, *given)
    else:
        result = stack_forward(stack, h, given)
    if not stack.skips:
        return result
    return result + sum(layer.out.bias[layer.sizes[0] :] for layer in layers)


def stack_of(
    net: WaveNet, layers: list[WaveNetLayer], h: Tensor, read: ContextBlocks
) -> tuple[Stack, Given]:
    """Return the sizes of a network's layers, and what they compute from, stacked anew."""
    taps = torch.stack([layer.taps.weight for layer in layers])
    base = torch.stack([layer.taps.bias for layer in layers])[None, None]
    held, rows, project = h.shape[1], None, None
    if net.from_context is not None and read.rows is not None:
        weight, bias = net.from_context.weight, net.from_context.bias
        if read.held > 1:
            base = base + F.linear(read.rows, weight, bias).unflatten(-1, base.shape[2:])
            held = read.held
        else:
            base = base if bias is None else base + bias.unflatten(0, base.shape[2:])
            rows, project = read.rows, weight.unflatten(0, base.shape[2:])
    absent = [net.channels - layer.sizes[0] for layer in layers]
    out = [F.pad(layer.out.weight, (0, 0, n, 0)) for layer, n in zip(layers, absent, strict=True)]
    biases = [F.pad(layer.out.bias, (n, 0)) for layer, n in zip(layers, absent, strict=True)]
    residual = torch.stack(biases)[:, : net.channels]
    dilations = tuple(layer.dilation for layer in layers)
    stack = Stack(layers[0].kernel, dilations, net.skip_channels, held, not absent[-1])
    return stack, Given(base, rows, project, residual, taps, torch.stack(out))
