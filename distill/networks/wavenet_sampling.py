"""From a WaveNet module and a head to the compiled sampling loop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.distributions.head import Head
from distill.functional import is_as_built
from distill.networks.blocks import InnerBlock
from distill.networks.wavenet_stack import layer_is_as_built

if TYPE_CHECKING:
    from distill.kernels.wavenet_loop import Weights
    from distill.networks.context_reader import ContextBlocks
    from distill.networks.wavenet import WaveNet
    from distill.networks.wavenet_layer import WaveNetLayer

_ROWS = 2048
_KINDS = {"location_scale": 0, "mixture": 1, "table": 2}


def has_fast_path(head: Head, noise: Tensor) -> bool:
    """Whether the compiled loop can sample: at most float32, a known head, numba there.

    It runs on the CPU wherever the network lies: single sites are too small to pay on a GPU.
    """
    return (
        noise.dtype != torch.float64
        and not noise.is_meta
        and not _draws_otherwise(head)
        and head.sampling_spec() is not None
        and find_spec("numba") is not None
    )


def _draws_otherwise(head: Head) -> bool:
    """Whether a head's class changes how to sample and inherits what it says of that."""
    says = _owner(head, "sampling_spec")
    made = [_owner(head, name) for name in ("sample_from", "location_scale", "parts")]
    return not all(kind is None or issubclass(says or Head, kind) for kind in made)


def _owner(head: Head, name: str) -> type | None:
    return next((kind for kind in type(head).__mro__ if name in vars(kind)), None)


def reads_as_built(net: WaveNet) -> bool:
    """Whether all that the compiled loop reads the weights of is as it was built."""
    parts = net.first, net.hidden, net.last
    return (
        is_as_built(net, type(net))
        and all(is_as_built(part, nn.Linear) for part in parts)
        and is_as_built(net.inner, InnerBlock)
        and all(map(layer_is_as_built, net.layers))
    )


def generate_fast(
    net: WaveNet, head: Head, noise: Tensor, read: ContextBlocks, temperature: float
) -> Tensor:
    """Draw `(B, T)` by the compiled loop, the streams shared out over torch's threads.

    Arguments:
        net: The network.
        head: Its output distribution.
        noise: `(B, T, Z)`.
        read: What it reads of its context.
        temperature: Scales the noise.
    """
    # Imported here: numba costs half a second, and only sampling needs it.
    from distill.kernels import wavenet_loop as loop
    from distill.kernels.blas import alone

    spec = head.sampling_spec()
    assert spec is not None, "has_fast_path was not asked"
    batch, sites = noise.shape[:2]
    blocks = -(-sites // net.block)
    layers: list[WaveNetLayer] = list(net.layers)  # type: ignore[arg-type]
    table = torch.zeros(1) if spec.table is None else spec.table
    how = loop.Sampling(
        _KINDS[spec.kind],
        float(spec.min_log_scale),
        float(spec.limit),
        _array(table),
        float(temperature),
    )
    variates = _array(F.pad(noise, (0, 0, 0, blocks * net.block - sites)))
    x = np.zeros((batch, blocks * net.block), np.float32)
    bias = torch.stack([layer.taps.bias for layer in layers])
    ago = np.zeros((1, blocks, 1), np.int64)
    if read.distance is not None:
        ago = np.ascontiguousarray(read.distance.cpu().numpy())
    parts = max(1, min(torch.get_num_threads(), batch))
    edges = [round(i * batch / parts) for i in range(parts + 1)]
    some = [slice(low, high) for low, high in pairwise(edges)]
    weights = _weights(net, spec.offset, streams=edges[1])
    reach = sum(layer.reach for layer in layers)
    rings = [np.zeros((reach, s.stop - s.start, net.channels), np.float32) for s in some]
    # Whole rows, few enough that the projected context stays small.
    held = read.held if read.rows is not None else blocks
    step = held * max(1, _ROWS // batch) if read.rows is not None else blocks
    with ThreadPoolExecutor(parts, initializer=alone) as pool:
        for begin in range(0, blocks, step):
            end = min(begin + step, blocks)
            base = _array(_base(net, read.rows, bias, begin // held, -(-end // held)))
            entry = _array(_entry(net, read.source, begin, end))
            own = np.ascontiguousarray(ago[:, begin:end])
            jobs = [
                pool.submit(
                    loop.generate,
                    weights,
                    how,
                    variates[s],
                    base[s] if len(base) > 1 else base,
                    held,
                    entry[s] if len(entry) > 1 else entry,
                    own[s] if len(own) > 1 else own,
                    x[s],
                    ring,
                    begin,
                    end,
                )
                for s, ring in zip(some, rings, strict=True)
            ]
            for job in jobs:
                job.result()
    return torch.from_numpy(x[:, :sites]).to(noise)


def _base(net: WaveNet, rows: Tensor | None, bias: Tensor, first: int, last: int) -> Tensor:
    if net.from_context is None or rows is None:
        return bias[None, None]
    return net.from_context(rows[:, first:last]).unflatten(-1, bias.shape) + bias


def _entry(net: WaveNet, source: Tensor | None, begin: int, end: int) -> Tensor:
    """Return what is added to the input of the first layer, `(B, n, C)`, or `(1, 1, C)`."""
    if net.from_source is None or source is None:
        return net.first.bias[None, None]
    return net.from_source(source[:, begin:end]) + net.first.bias


def _weights(net: WaveNet, offset: Tensor, streams: int) -> Weights:
    from distill.kernels.wavenet_loop import Weights, panel_width

    def panels(weight: Tensor) -> np.ndarray:
        width = panel_width(streams, weight.shape[-1])
        return _array(weight.unflatten(-1, (-1, width)).transpose(-3, -2))

    layers: list[WaveNetLayer] = list(net.layers)  # type: ignore[arg-type]
    channels, skips = net.channels, net.skip_channels
    out = net.last.weight.new_zeros(len(layers), net.gate_channels, channels + skips)
    out_bias = net.last.bias.new_zeros(len(layers), channels + skips)
    for i, layer in enumerate(layers):
        # The last layer may lack its residual part: that stays zero.
        start = channels - layer.sizes[0]
        out[i, :, start:] = layer.out.weight.T
        out_bias[i, start:] = layer.out.bias
    taps = torch.stack([layer.taps.weight.T for layer in layers])
    # relu(c y) = c relu(y): the factor of the skips moves into the next matrix.
    factor = len(layers) ** -0.5 if skips else 1.0
    return Weights(
        first=_array(net.first.weight.T * net.input_scale),
        taps=panels(taps.unflatten(1, (layers[0].kernel, channels))),
        out=panels(out),
        out_bias=_array(out_bias),
        hidden=_array(net.hidden.weight.T * factor),
        hidden_bias=_array(net.hidden.bias),
        last=_array(net.last.weight.T),
        last_bias=_array(net.last.bias.cpu() + _offsets(net, offset)),
        moved=_array(net.inner.moved),
        reach=np.array([layer.reach for layer in layers]),
        kernel=layers[0].kernel,
        block=net.block,
    )


def _offsets(net: WaveNet, offset: Tensor) -> Tensor:
    """Repeat the head's offset for the sites of a block; the inner coefficients have none."""
    return F.pad(offset.cpu().repeat(net.block), (0, net.inner.coefficients))


def _array(value: Tensor) -> np.ndarray:
    return np.ascontiguousarray(value.detach().to("cpu", torch.float32).numpy())
