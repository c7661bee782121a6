"""The causal WaveNet conditioner: gated dilated layers over a sequence, a chunk, or a site."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.distributions.head import Head
from distill.networks.conditioner import Conditioner
from distill.networks.rows import Rows, read_rows
from distill.networks.wavenet_layer import WaveNetLayer
from distill.networks.wavenet_sampling import generate_fast, has_fast_path

RunState = tuple[Tensor, ...]
"""The last input site `(B, 1)`, then each layer's last (k - 1) d inputs `(B, (k - 1) d, C)`."""


@dataclass
class WaveNetState:
    """Number of sites read, a ring of each layer's last inputs, and the context."""

    position: int
    rings: list[Tensor]
    context: Rows


class WaveNet(Conditioner):
    r"""Stack of gated dilated causal convolutions: parameters of site t from sites before it.

    $$h_{i+1} = h_i + V_i g_i,\qquad
      g_i = \tanh(z_i^a / 2)\,\sigma(z_i^b),\qquad
      z_i = W_i [h_i(t - (k-1)d_i), \dots, h_i(t)] + U_i c(t)$$

    with $d_i = 2^{i \bmod (\text{layers}/\text{cycles})}$. The sum of the layers' skips (without
    skips, the last h) passes through two rectified linear maps. The input is shifted by one site
    inside. Values stay `(B, T, C)`, each layer is two matrix products, and one more projects the
    context for all layers.

    A context is `(B, F, C)` with F * context_hop = T, each row held for `context_hop` sites (the
    same as repeating it, at a fraction of the cost), or `(B, T, C)`, or `(B, C)` for all sites.
    With `source_channels` = S, each row ends in a source of S numbers for each of its sites (an
    excitation of known pitch, say), which is added to the input of the first layer.

    Three forms compute the same numbers: `forward` for whole sequences; `run` for a chunk of any
    length with an explicit state of tensors; `step` for one site, in rings written in place.

    Arguments:
        parameters_per_site: P.
        layers: Number of gated layers.
        cycles: How many times the dilations start again at 1; divides `layers`.
        kernel: Taps of each layer, 2 or more.
        channels: Residual channels.
        gate_channels: Channels after the gate, `channels` by default.
        skip_channels: Channels of the skips, `channels` by default, 0 for none (students).
        context_channels: C, 0 for no context.
        context_hop: Sites per row of a context at frame rate.
        source_channels: S, 0 for no source.
        last_scale: Factor of the last layer's initial weights and biases: 0 starts a flow at its
            transform's own start, 0.1 near it.
        input_scale: Factor of the input, 1 over the data's standard deviation, say.

    Errors:
        ValueError: Settings out of range, or a context that does not fit the sites.

    Source: van den Oord et al., WaveNet, 2016, arXiv 1609.03499.

    Example:
        >>> net = WaveNet(layers=4, channels=8, context_channels=3, context_hop=5)
        >>> net(torch.randn(2, 20), torch.randn(2, 4, 3)).shape, net.receptive_field
        (torch.Size([2, 20, 2]), 16)
    """

    def __init__(
        self,
        parameters_per_site: int = 2,
        layers: int = 10,
        cycles: int = 1,
        kernel: int = 2,
        channels: int = 64,
        gate_channels: int | None = None,
        skip_channels: int | None = None,
        context_channels: int = 0,
        context_hop: int = 1,
        source_channels: int = 0,
        last_scale: float = 1.0,
        input_scale: float = 1.0,
    ) -> None:
        super().__init__()
        if layers < 1 or cycles < 1 or layers % cycles or kernel < 2 or channels < 1:
            raise ValueError(
                "WaveNet: wanted layers >= 1 in equal cycles, kernel >= 2 and channels >= 1; got "
                f"layers={layers}, cycles={cycles}, kernel={kernel}, channels={channels}."
            )
        if context_hop < 1 or context_channels < (1 if source_channels else 0):
            raise ValueError(
                "WaveNet: wanted context_hop >= 1 and context_channels >= 0 (> 0 with a source); "
                f"got {context_hop}, {context_channels} and source_channels={source_channels}."
            )
        gate = channels if gate_channels is None else gate_channels
        skip = channels if skip_channels is None else skip_channels
        self.parameters_per_site = parameters_per_site
        self.channels, self.gate_channels, self.skip_channels = channels, gate, skip
        self.context_channels, self.context_hop = context_channels, context_hop
        self.source_channels = source_channels
        self.input_scale = input_scale
        self.first = nn.Linear(1, channels)
        self.layers = nn.ModuleList(
            WaveNetLayer(
                channels,
                gate,
                0 if skip and i == layers - 1 else channels,
                skip,
                kernel,
                dilation=2 ** (i % (layers // cycles)),
            )
            for i in range(layers)
        )
        width = skip or channels
        self.hidden = nn.Linear(width, width)
        self.last = nn.Linear(width, parameters_per_site)
        with torch.no_grad():
            self.last.weight.mul_(last_scale)
            self.last.bias.mul_(last_scale)
        self.from_context = (
            nn.Linear(context_channels, layers * 2 * gate, bias=False) if context_channels else None
        )
        self.from_source: nn.Linear | None = None
        if source_channels:
            self.from_source = nn.Linear(source_channels, channels, bias=False)

    @property
    def receptive_field(self) -> int:
        """How many sites before t its parameters depend on."""
        return 1 + sum(layer.reach for layer in self._layers)

    def extra_repr(self) -> str:
        """Show the settings."""
        return (
            f"parameters_per_site={self.parameters_per_site}, context_hop={self.context_hop}, "
            f"receptive_field={self.receptive_field}"
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute the parameters `(B, T, P)` of all sites."""
        read = self._read(context, x)
        h = self._enter(F.pad(x, (1, -1)), read.source)
        rows, hop = self._project(read)
        skips = []
        for layer, row in zip(self._layers, rows, strict=True):
            h, skip = layer(h, row, hop)
            skips.append(skip)
        return self._leave(h, skips)

    def zero_state(self, x: Tensor) -> RunState:
        """Return the state before the first site, for `run`; x gives batch, dtype and device."""
        past = [x.new_zeros(x.shape[0], layer.reach, self.channels) for layer in self._layers]
        return (x.new_zeros(x.shape[0], 1), *past)

    def run(
        self, state: RunState, x: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, RunState]:
        """Compute the parameters of the next chunk `(B, t)` of sites, and the state after it.

        Arguments:
            state: From `zero_state`, or from the chunk before.
            x: The chunk. Its own last site is used by the next chunk only.
            context: Rows of the chunk, t / context_hop of them, or t.
        """
        read = self._read(context, x)
        h = self._enter(torch.cat([state[0], x], 1)[:, :-1], read.source)
        rows, hop = self._project(read)
        skips, after = [], [x[:, -1:].contiguous()]
        for layer, row, past in zip(self._layers, rows, state[1:], strict=True):
            h, skip, past = layer.run(h, row, hop, past)
            skips.append(skip)
            after.append(past)
        return self._leave(h, skips), tuple(after)

    def start(self, x: Tensor, context: Tensor | None = None) -> WaveNetState:
        """Return the state before the first site."""
        rings = [x.new_zeros(layer.reach, x.shape[0], self.channels) for layer in self._layers]
        return WaveNetState(0, rings, self._read(context, x))

    def step(self, state: WaveNetState, x_t: Tensor) -> tuple[Tensor, WaveNetState]:
        """Take in the site last completed; return the next one's parameters `(B, P)`."""
        context, source, hop = state.context.rows, state.context.source, state.context.hop
        h = self._enter(x_t, None if source is None else source[:, state.position])
        rows: Iterable[Tensor | None] = [None] * len(self.layers)
        if self.from_context is not None and context is not None:
            rows = self.from_context(context[:, state.position // hop]).chunk(len(self.layers), -1)
        skips = []
        for layer, own, ring in zip(self._layers, rows, state.rings, strict=True):
            h, skip = layer.step(h, own, ring, state.position)
            skips.append(skip)
        return self._leave(h, skips), WaveNetState(state.position + 1, state.rings, state.context)

    @torch.no_grad()
    def generate(
        self, head: Head, noise: Tensor, context: Tensor | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw `(B, T)` site after site: by the compiled loop on a CPU, in float64 by steps."""
        if not has_fast_path(head, noise):
            return self.generate_by_steps(head, noise, context, temperature)
        return generate_fast(self, head, noise, self._read(context, noise[..., 0]), temperature)

    @property
    def _layers(self) -> list[WaveNetLayer]:
        return list(self.layers)  # type: ignore[arg-type]

    def _enter(self, x: Tensor, source: Tensor | None) -> Tensor:
        # Elementwise, so that autocast keeps the input and the residual path in full precision.
        h = (x * self.input_scale)[..., None] * self.first.weight[:, 0] + self.first.bias
        if source is None or self.from_source is None:
            return h
        if not torch.is_autocast_enabled(h.device.type):  # An exported graph has no such region.
            return h + self.from_source(source)
        with torch.autocast(h.device.type, enabled=False):
            return h + self.from_source(source)

    def _leave(self, h: Tensor, skips: list[Tensor]) -> Tensor:
        if self.skip_channels:
            h = sum(skips[1:], skips[0].to(h.dtype)) * len(skips) ** -0.5
        if torch.is_autocast_enabled(h.device.type):
            # Parameters in half precision would blur a density far sharper than their last digit.
            with torch.autocast(h.device.type, enabled=False):
                return self.last(torch.relu(self.hidden(torch.relu(h))))
        return self.last(torch.relu(self.hidden(torch.relu(h))))

    def _project(self, read: Rows) -> tuple[Iterable[Tensor | None], int]:
        if self.from_context is None or read.rows is None:
            return [None] * len(self.layers), 1
        if read.hop == 1:
            # At site rate all layers at once would take layers times the memory of the values.
            weights = self.from_context.weight.chunk(len(self.layers))
            return (F.linear(read.rows, weight) for weight in weights), 1
        return self.from_context(read.rows).chunk(len(self.layers), -1), read.hop

    def _read(self, context: Tensor | None, x: Tensor) -> Rows:
        if self.from_context is None:
            return Rows(None, 1, None)
        channels, hop = self.context_channels, self.context_hop
        return read_rows(context, x, channels, hop, self.source_channels)
