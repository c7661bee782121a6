"""From a WaveNet module and a head to the compiled sampling loop."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from distill.distributions.head import Head

if TYPE_CHECKING:
    from distill.networks.wavenet import WaveNet

_KINDS = {"location_scale": 0, "mixture": 1, "table": 2}


def has_fast_path(head: Head, noise: Tensor) -> bool:
    """Whether the compiled loop can sample: float32 on a CPU, a known head, numba there."""
    return (
        noise.device.type == "cpu"
        and noise.dtype == torch.float32
        and head.recipe() is not None
        and find_spec("numba") is not None
    )


def generate_fast(
    net: WaveNet, head: Head, noise: Tensor, rows: Tensor | None, hop: int, temperature: float
) -> Tensor:
    """Draw `(B, T)` by the compiled loop, the streams shared out over torch's threads.

    Arguments:
        net: The network.
        head: Its output distribution.
        noise: `(B, T, N)`.
        rows: Context projected for all layers, `(B, F, L 2 G)`.
        hop: Sites per row.
        temperature: Scales the noise.
    """
    # Imported here: numba costs half a second, and only sampling needs it.
    from distill.kernels import wavenet_loop as loop

    recipe = head.recipe()
    assert recipe is not None, "has_fast_path was not asked"
    batch, sites = noise.shape[:2]
    bias = torch.stack([layer.taps.bias for layer in net.layers])
    if rows is None:
        base, hop = bias[None, None], sites
    else:
        base = rows.unflatten(-1, bias.shape) + bias
    table = torch.zeros(1) if recipe.table is None else recipe.table
    how = loop.Sampling(
        _KINDS[recipe.kind],
        float(recipe.min_log_scale),
        float(recipe.limit),
        _array(table),
        float(temperature),
    )
    x = np.zeros((batch, sites), np.float32)
    parts = min(torch.get_num_threads(), batch)
    edges = [round(i * batch / parts) for i in range(parts + 1)]
    run = partial(_run_part, loop, _weights(net, recipe.offset), how, hop)
    noise_array, base_array = _array(noise), _array(base)
    jobs = []
    for low, high in zip(edges, edges[1:], strict=False):
        part = base_array[low:high] if len(base_array) > 1 else base_array
        jobs.append((noise_array[low:high], part, x[low:high]))
    if parts == 1:
        run(*jobs[0])
    else:
        with ThreadPoolExecutor(parts) as pool:
            for _ in pool.map(lambda job: run(*job), jobs):
                pass
    return torch.from_numpy(x)


def _run_part(loop: Any, weights: Any, how: Any, hop: int, *arrays: np.ndarray) -> None:
    noise, base, x = arrays
    loop.generate(weights, how, noise, base, hop, x)


def _weights(net: WaveNet, offset: Tensor) -> Any:
    from distill.kernels.wavenet_loop import Weights

    layers, channels, skips = list(net.layers), net.channels, net.skip_channels
    out = torch.zeros(len(layers), net.gate_channels, channels + skips)
    out_bias = torch.zeros(len(layers), channels + skips)
    for i, layer in enumerate(layers):
        # The last layer may lack its residual part: that stays zero.
        start = channels - layer.sizes[0]
        out[i, :, start:] = layer.out.weight.T
        out_bias[i, start:] = layer.out.bias
    # relu(c y) = c relu(y): the factor of the skips moves into the next matrix.
    factor = len(layers) ** -0.5 if skips else 1.0
    first = torch.stack([net.first.weight[:, 0] * net.input_scale, net.first.bias])
    return Weights(
        first=_array(first),
        taps=_array(torch.stack([layer.taps.weight.T for layer in layers])),
        out=_array(out),
        out_bias=_array(out_bias),
        hidden=_array(net.hidden.weight.T * factor),
        hidden_bias=_array(net.hidden.bias),
        last=_array(net.last.weight.T),
        last_bias=_array(net.last.bias + offset),
        reach=np.array([layer.reach for layer in layers]),
        kernel=layers[0].kernel,
    )


def _array(value: Tensor) -> np.ndarray:
    return np.ascontiguousarray(value.detach().to(torch.float32).numpy())
