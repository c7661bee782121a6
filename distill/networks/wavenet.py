"""The causal WaveNet conditioner: gated dilated layers over a sequence, a chunk, or a site."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.checks import check_number
from distill.contract import Context
from distill.distributions.head import Head
from distill.functional import check_recompute, in_full, is_as_built, passes_gradient
from distill.networks.blocks import InnerBlock, sites_ago
from distill.networks.conditioner import Conditioner
from distill.networks.context_reader import ContextBlocks, ContextReader
from distill.networks.sweep import BlockSweep, Update
from distill.networks.wavenet_layer import Rows, WaveNetLayer, rows_of_layers
from distill.networks.wavenet_sampling import generate_fast, has_fast_path, reads_as_built
from distill.networks.wavenet_stack import check_chunks, end_of_layers, through_layers
from distill.networks.wavenet_state import RunState, StepState, check_reads, check_sizes

_WIDE = 48  # channels from which products in bfloat16 save more than their casts cost


class WaveNet(Conditioner):
    r"""Stack of gated dilated causal convolutions: parameters of site t from sites before it.

    $$h_{i+1} = h_i + V_i g_i,\qquad
      g_i = \tanh(z_i^a / 2)\,\sigma(z_i^b),\qquad
      z_i = W_i [h_i(n - (k-1)d_i), \dots, h_i(n)] + U_i c(n)$$

    with $d_i = 2^{i \bmod (\text{layers}/\text{cycles})}$, over blocks n of r sites (`block`).
    The sum of the layers' skips (without skips, the last h) passes through two rectified linear
    maps. The input is shifted by one block inside. Within a block each site's location also moves
    by a linear function of the sites before it (`InnerBlock`), so that r = 4 or 8 loses little and
    costs a quarter or an eighth; r = 1 is the WaveNet of the paper. Values stay `(B, N, C)`, each
    layer is two matrix products, and one more projects the context for all layers.

    Of a context it reads the `rows`, each held for `hop` sites (the same as repeating them, at a
    fraction of the cost); the `source`, if `source_channels` = S, which is added to the input of
    the first layer; and the `lag`, if `pitch_taps` > 0: then each block also reads the sites one
    pitch period ago, two, and so on (`pitch_periods`).

    Three forms compute the same numbers: `forward` for whole sequences; `run` for a chunk of whole
    blocks with an explicit state of tensors; `step` for one site, in rings written in place.

    Arguments:
        parameters_per_site: P.
        layers: Number of gated layers.
        cycles: How many times the dilations start again at 1; divides `layers`.
        kernel: Taps of each layer, 2 or more.
        channels: Residual channels.
        gate_channels: Channels after the gate, `channels` by default.
        skip_channels: Channels of the skips, `channels` by default, 0 for none (students).
        context_channels: Channels of the context's rows, 0 for no context.
        source_channels: S, 0 for no source.
        last_scale: Factor of the last layer's initial weights and biases: 0 starts a flow at its
            transform's own start, 0.1 near it.
        input_scale: Factor of the input, 1 over the data's standard deviation, say.
        block: r.
        locations: Which of the P parameters are locations, moved by earlier sites of the block.
        pitch_taps: Sites read around the one a pitch period ago, an odd number; 0 for none.
        longest_lag: Largest distance of these sites.
        pitch_periods: How many periods ago they are read: of several, noise averages out.
        recompute: Where a gradient passes, keep what is between layers and compute the rest again:
            `activations`, `True`, or `outputs`, which are the same here.

    Errors:
        ValueError: Settings out of range, or a context that does not fit the sites.

    Source: van den Oord et al., WaveNet, 2016, arXiv 1609.03499; pitch-dependent taps: Wu et al.,
    Quasi-periodic WaveNet, 2019, arXiv 1907.00797.

    Example:
        >>> net = WaveNet(layers=4, channels=8, context_channels=3, block=5)
        >>> net(torch.randn(2, 20), Context(torch.randn(2, 4, 3), hop=5)).shape
        torch.Size([2, 20, 2])
        >>> net.receptive_field
        84
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
        source_channels: int = 0,
        last_scale: float = 1.0,
        input_scale: float = 1.0,
        block: int = 1,
        locations: Sequence[int] = (0,),
        pitch_taps: int = 0,
        longest_lag: int = 0,
        pitch_periods: int = 1,
        recompute: bool | str = False,
    ) -> None:
        super().__init__()
        gate = channels if gate_channels is None else gate_channels
        skip = channels if skip_channels is None else skip_channels
        sizes = {"channels": channels, "gate_channels": gate, "skip_channels": skip}
        sizes |= {"parameters_per_site": parameters_per_site, "kernel": kernel, "block": block}
        check_sizes(layers, cycles, **sizes)
        reads = block, pitch_taps, longest_lag, pitch_periods
        check_reads(context_channels, source_channels, *reads)
        check_number("WaveNet.last_scale", last_scale)
        check_number("WaveNet.input_scale", input_scale)
        self.parameters_per_site = parameters_per_site
        self.channels, self.gate_channels, self.skip_channels = channels, gate, skip
        self.reader = ContextReader(context_channels, source_channels, *reads)
        self.input_scale, self.recompute = input_scale, check_recompute(recompute)
        self.block, self.pitch_taps, self.longest_lag, self.pitch_periods = reads
        self.inner = InnerBlock(block, parameters_per_site, locations)
        ago = pitch_periods * (block + pitch_taps - 1) if pitch_taps else 0
        self.first = nn.Linear(block + ago, channels)
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
        self.last = nn.Linear(width, block * parameters_per_site + self.inner.coefficients)
        with torch.no_grad():
            self.last.weight.mul_(last_scale)
            self.last.bias.mul_(last_scale)
            # A block starts with independent sites.
            self.last.weight[block * parameters_per_site :] = 0
            self.last.bias[block * parameters_per_site :] = 0
        self.from_context = (
            nn.Linear(context_channels, layers * 2 * gate, bias=False) if context_channels else None
        )
        self.from_source: nn.Linear | None = None
        if source_channels:
            self.from_source = nn.Linear(block * source_channels, channels, bias=False)

    @property
    def gains_from_bfloat16(self) -> bool:  # type: ignore[override]
        """Whether its products are large enough."""
        return self.channels >= _WIDE

    @property
    def receptive_field(self) -> int:
        """How many sites before t its parameters may depend on, those a period ago left out."""
        # The last site of a block also sees the others.
        return self.block * (2 + sum(layer.reach for layer in self._layers)) - 1

    @property
    def history(self) -> int:
        """Sites H before a chunk that the chunk reads directly."""
        reach = self.longest_lag + self.pitch_taps // 2 if self.pitch_taps else 0
        return max(self.block, reach)

    def extra_repr(self) -> str:
        """Show the settings."""
        shown = "parameters_per_site block pitch_taps pitch_periods receptive_field"
        return ", ".join(f"{name}={getattr(self, name)}" for name in shown.split())

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        """Compute the parameters `(B, T, P)` of all sites."""
        sites, read = x.shape[1], self.reader(context, x)
        whole = F.pad(x, (self.history, -sites % self.block))
        h = self._enter(whole, read)
        end = through_layers(self, h, read, passes_gradient(self, x))
        raw, coefficients = self._raw(end)
        own = whole[:, self.history :].unflatten(1, (-1, self.block))
        return self.inner(raw, coefficients, own).flatten(1, 2)[:, :sites]

    def start_run(self, x: Tensor) -> RunState:
        """Return the state before the first site, for `run`; x gives batch, dtype and device."""
        past = [x.new_zeros(x.shape[0], layer.reach, self.channels) for layer in self._layers]
        return (x.new_zeros(x.shape[0], self.history), *past)

    def run(
        self, state: RunState, x: Tensor, context: Context | None = None
    ) -> tuple[Tensor, RunState]:
        """Compute the parameters of the next chunk `(B, t)` of sites, and the state after it.

        Arguments:
            state: From `start_run`, or from the chunk before.
            x: The chunk, of whole blocks. Its own last block is used by the next chunk only.
            context: That of the chunk's sites.
        """
        if x.shape[1] % self.block:
            raise ValueError(
                f"WaveNet.run: wanted chunks of whole blocks of {self.block} sites, got "
                f"{x.shape[1]} sites. Pass whole frames, of a hop that the block divides."
            )
        raw, coefficients, state = self.run_blocks(state, x, self.reader(context, x))
        return self.inner(raw, coefficients, x.unflatten(1, (-1, self.block))).flatten(1, 2), state

    def run_blocks(
        self, state: RunState, x: Tensor, read: ContextBlocks
    ) -> tuple[Tensor, Tensor, RunState]:
        """Do the same, but return a block's parameters as they are before its sites move them."""
        check_chunks(self)
        whole = torch.cat([state[0], x], 1)
        h = self._enter(whole, read)
        skips, after = [], [whole[:, x.shape[1] :].contiguous()]
        for layer, row, past in zip(self._layers, self._rows(read), state[1:], strict=True):
            h, skip, past = layer.run(h, row(), read.held, past)
            skips.append(skip)
            after.append(past)
        return *self._raw(end_of_layers(self, h, skips)), tuple(after)

    def sweep(self, update: Update, like: Tensor, context: Context | None = None) -> BlockSweep:
        """Return what updates windows of whole blocks, each from the state of those before it."""
        return BlockSweep(self, update, like, context)

    def start(self, x: Tensor, context: Context | None = None) -> StepState:
        """Return the state before the first site."""
        rings = [x.new_zeros(layer.reach, x.shape[0], self.channels) for layer in self._layers]
        sites = x.new_zeros(x.shape[0], self.history + x.shape[1] + self.block)
        return StepState(self.reader(context, x), sites, rings)

    def step(self, state: StepState, x_t: Tensor) -> tuple[Tensor, StepState]:
        """Take in the site last completed; return the next one's parameters `(B, P)`."""
        n, j = divmod(state.position, self.block)
        start = self.history + n * self.block
        if state.position:
            state.sites[:, start + j - 1] = x_t
        if j == 0:
            state.raw, state.coefficients = self._step_block(state, n)
        assert state.raw is not None
        assert state.coefficients is not None
        own = state.sites[:, start : start + self.block]
        state.position += 1
        return self.inner(state.raw, state.coefficients, own)[:, j], state

    def _step_block(self, state: StepState, n: int) -> tuple[Tensor, Tensor]:
        own = state.read.at(n)
        h = self._enter(state.sites[:, n * self.block :][:, : self.history + self.block], own)[:, 0]
        skips = []
        for layer, row, ring in zip(self._layers, self._rows(own), state.rings, strict=True):
            here = row()
            h, skip = layer.step(h, None if here is None else here[:, 0], ring, n)
            skips.append(skip)
        return self._raw(end_of_layers(self, h, skips))

    @torch.no_grad()
    def generate(
        self, head: Head, noise: Tensor, context: Context | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Draw `(B, T)` site after site: by the compiled loop on a CPU, in float64 by steps."""
        if not (has_fast_path(head, noise) and reads_as_built(self)):
            return super().generate(head, noise, context, temperature)
        return generate_fast(self, head, noise, self.reader(context, noise[..., 0]), temperature)

    def steps_as_it_passes(self) -> bool:
        """Return whether no layer as a whole was replaced, or is hooked into."""
        layers = all(is_as_built(layer, WaveNetLayer) for layer in self._layers)
        return layers and is_as_built(self, type(self))

    @property
    def _layers(self) -> list[WaveNetLayer]:
        return list(self.layers)  # type: ignore[arg-type]

    def _enter(self, whole: Tensor, read: ContextBlocks) -> Tensor:
        """Return the first layer's input, given H sites and then the N blocks of a chunk."""
        blocks = (whole.shape[1] - self.history) // self.block
        before = whole[:, self.history - self.block :][:, : blocks * self.block]
        seen = before.unflatten(1, (blocks, self.block))
        if read.distance is not None:
            taps = sites_ago(whole, read.distance, self.block, self.pitch_taps)
            seen = torch.cat([seen, taps], -1)

        def enter() -> Tensor:
            h = self.first(seen * self.input_scale)
            if read.source is None or self.from_source is None:
                return h
            return h + self.from_source(read.source.to(h.dtype))

        # The input and the residual path stay in full precision.
        return in_full(enter, whole)

    def _raw(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Return each site's raw parameters `(..., r, P)` and the block's coefficients."""
        if self.skip_channels:
            h = h * len(self.layers) ** -0.5
        # Parameters in half precision would blur a density far sharper than their last digit.
        last = in_full(lambda: self.last(torch.relu(self.hidden(torch.relu(h)))), h)
        each = self.block * self.parameters_per_site
        return last[..., :each].unflatten(-1, (self.block, -1)), last[..., each:]

    def _rows(self, read: ContextBlocks) -> Sequence[Rows]:
        return rows_of_layers(self.from_context, read.rows, read.held, len(self.layers))
