"""MADE: a masked multi-layer perceptron whose output t sees inputs before t only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from distill.checks import check_number, check_sites, checked_widths, permutation
from distill.contract import Context
from distill.functional import in_full_precision, is_as_built
from distill.networks.conditioner import Conditioner
from distill.networks.masked_linear import MaskedLinear

_ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh, "elu": nn.ELU}


# Sites whose parameters are prepared at once from what is known: large products instead of many
# small ones.
_AHEAD = 16


@dataclass
class MADEState:
    """Sites read so far, the units that they complete, and sums prepared for the next sites.

    Units and sums are `(width, B)`, so that what one site completes lies together.
    """

    position: int
    units: list[Tensor]
    ahead: list[Tensor]
    from_context: Tensor | None


class MADE(Conditioner):
    r"""Masked perceptron: parameters of site t from the sites before it in `order`.

    Unit k of a hidden layer has a degree $m_k$, sees units of degree $\le m_k$ below it and is seen
    by outputs of degree $> m_k$. Degrees are spread evenly over the sites (not drawn, not cycled),
    so the largest is T - 1 and no input is ever dropped, however narrow the layer. Units are sorted
    by degree: every mask is a staircase, which is what makes training and sampling fast.

    Degrees of a layer narrower than T leave gaps, in which a site would not see its latest
    predecessors. There a linear path leads from those straight to the outputs (`near`), one weight
    for each of the `gap` latest sites.

    Arguments:
        sites: T.
        hidden: Widths of the hidden layers.
        parameters_per_site: P.
        context_channels: Channels of the context's rows `(B, C)`, 0 for none.
        order: `natural`, `reverse`, or the sites in the order they are to be read.
        activation: `relu`, `silu`, `tanh` or `elu`.
        zero: Start with parameters of zero, so that a flow starts at its identity.

    Errors:
        ValueError: No hidden layer, sizes or widths out of range, an unknown order or activation, a
            context of other channels.

    Source: Germain et al., MADE, 2015, arXiv 1502.03509.

    Example:
        >>> made = MADE(sites=4, hidden=[16])
        >>> made(torch.zeros(2, 4)).shape
        torch.Size([2, 4, 2])
    """

    _read: Tensor
    _write: Tensor
    near: Tensor

    def __init__(
        self,
        sites: int,
        hidden: Sequence[int] = (128, 128),
        parameters_per_site: int = 2,
        context_channels: int = 0,
        order: str | Sequence[int] = "natural",
        activation: str = "relu",
        zero: bool = True,
    ) -> None:
        super().__init__()
        check_number("MADE: sites", sites, low=1, whole=True)
        check_number("MADE: parameters_per_site", parameters_per_site, low=1, whole=True)
        check_number("MADE: context_channels", context_channels, low=0, whole=True)
        hidden = checked_widths(hidden)
        if not hidden or activation not in _ACTIVATIONS:
            raise ValueError(
                "MADE: wanted at least one hidden layer and an activation among "
                f"{', '.join(_ACTIVATIONS)}; got hidden={hidden}, activation={activation}."
            )
        self.sites = sites
        self.parameters_per_site = parameters_per_site
        self.context_channels = context_channels
        sequence = _order(sites, order)
        self.order = None if sequence == list(range(sites)) else sequence
        self.register_buffer("_read", torch.tensor(sequence), persistent=False)
        self.register_buffer("_write", torch.argsort(self._read), persistent=False)
        # With a context even the first site has something to see.
        low = 0 if context_channels else 1
        with torch.device("cpu"):  # they are read here, also where the network is built on `meta`
            degrees = [torch.arange(1, sites + 1)]
            degrees += [_spread(width, low, max(sites - 1, low)) for width in hidden]
            self._completed = [
                torch.bincount(d, minlength=sites + 1).cumsum(0).tolist() for d in degrees
            ]
        reaches = [torch.searchsorted(*pair, right=True) for pair in pairwise(degrees)]
        layers = [MaskedLinear(len(d), reach) for d, reach in zip(degrees, reaches, strict=False)]
        last = torch.searchsorted(degrees[-1], degrees[0]).repeat_interleave(parameters_per_site)
        layers.append(MaskedLinear(hidden[-1], last, zero=zero))
        self.layers = nn.ModuleList(layers)
        self.gap = _widest_gap(degrees)
        near = torch.zeros(self.gap, sites, parameters_per_site)
        if self.gap and not zero:
            nn.init.uniform_(near, -0.1, 0.1)
        self.register_parameter("near", nn.Parameter(near) if self.gap else None)
        self.activation = _ACTIVATIONS[activation]()
        self.from_context = nn.Linear(context_channels, hidden[0]) if context_channels else None

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"sites={self.sites}, parameters_per_site={self.parameters_per_site}"

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        """Compute the parameters `(B, T, P)` of all sites."""
        check_sites(self, x, self.sites)
        values = x if self.order is None else x[:, self._read]
        h = self.layers[0](values)
        shift = self._project(context, x.shape[0])
        h = self.activation(h if shift is None else h + shift)
        for layer in self.layers[1:-1]:
            h = self.activation(layer(h))
        params = in_full_precision(self.layers[-1], h)
        params = params.unflatten(1, (self.sites, self.parameters_per_site))
        for i in range(self.gap):
            late = nn.functional.pad(values, (i + 1, 0))[:, : self.sites]
            params = params + late[..., None] * self.near[i]
        return params if self.order is None else params[:, self._write]

    def start(self, x: Tensor, context: Context | None = None) -> MADEState:
        """Return the state before the first site."""
        check_sites(self, x, self.sites)
        shift = self._project(context, x.shape[0])
        units = [x.new_zeros(completed[-1], x.shape[0]) for completed in self._completed]
        return MADEState(-1, units, list(units), None if shift is None else shift.T)

    def step(self, state: MADEState, x_t: Tensor) -> tuple[Tensor, MADEState]:
        """Compute only the hidden units that the last site completes, then the next parameters."""
        position = state.position + 1
        if position > 0:
            state.units[0][position - 1] = x_t
        last = len(self.layers) - 1
        for i in range(last):
            sums = self._sums(i, position, state)
            if len(sums):
                state.units[i + 1][self._new(i, position)] = self.activation(sums)
        params = self._sums(last, position, state).T
        for i in range(min(self.gap, position)):
            params = params + state.units[0][position - 1 - i][:, None] * self.near[i, position]
        return params, MADEState(position, state.units, state.ahead, state.from_context)

    def steps_as_it_passes(self) -> bool:
        """Return whether steps may read the layers' weights."""
        layers = all(is_as_built(layer, MaskedLinear) for layer in self.layers)
        return layers and is_as_built(self, type(self))

    def _new(self, i: int, position: int) -> slice:
        """Return the outputs of layer i that this position completes."""
        if i == len(self.layers) - 1:
            return slice(
                position * self.parameters_per_site, (position + 1) * self.parameters_per_site
            )
        done = self._completed[i + 1]
        return slice(done[position - 1] if position else 0, done[position])

    def _sums(self, i: int, position: int, state: MADEState) -> Tensor:
        """Return the weighted sums of layer i's new outputs, `(rows, B)`."""
        layer, below, rows = self.layers[i], state.units[i], self._new(i, position)
        assert isinstance(layer, MaskedLinear)
        start = position - position % _AHEAD
        known, reach = self._completed[i][start], self._completed[i][position]
        first = self._new(i, start).start
        if position == start:
            end = min(start + _AHEAD, self.sites) - 1
            ahead = slice(first, self._new(i, end).stop)
            bias = layer.bias[ahead, None]
            if i == 0 and state.from_context is not None:
                bias = bias + state.from_context[ahead]
            state.ahead[i] = torch.addmm(bias, layer.weight[ahead, :known], below[:known])
        sums = state.ahead[i][rows.start - first : rows.stop - first]
        if reach > known:
            sums = torch.addmm(sums, layer.weight[rows, known:reach], below[known:reach])
        return sums

    def _project(self, context: Context | None, batch: int) -> Tensor | None:
        if self.from_context is None:
            return None
        rows = None if context is None else context.rows
        if rows is None or rows.shape != (batch, self.context_channels):
            got = "none" if rows is None else tuple(rows.shape)
            raise ValueError(
                f"MADE: wanted context rows of shape ({batch}, {self.context_channels}), got "
                f"{got}. Pass the features it was trained with, a row for each value: one for all "
                "by .expand(count, -1)."
            )
        return self.from_context(rows)


def _spread(width: int, low: int, high: int) -> Tensor:
    """Spread degrees evenly over low..high; the last one is always `high`."""
    count = high - low + 1
    return low - 1 + torch.ceil(torch.arange(1, width + 1) * count / width).long().clamp(1, count)


def _widest_gap(degrees: Sequence[Tensor]) -> int:
    """Return how many of its latest predecessors the worst site does not see."""
    reach = degrees[0] - 1  # Output t may see the first t inputs.
    seen = reach
    for layer in reversed(degrees[1:]):
        # The highest degree of this layer that is still allowed.
        place = torch.searchsorted(layer, seen, right=True) - 1
        seen = torch.where(place < 0, 0, layer[place.clamp_min(0)])
    return int((reach - seen).max())


def _order(sites: int, order: str | Sequence[int]) -> list[int]:
    if isinstance(order, str) and order in ("natural", "reverse"):
        return list(range(sites))[:: 1 if order == "natural" else -1]
    sequence = permutation(order, sites)
    if sequence is None:
        raise ValueError(
            f"MADE: wanted order=natural, reverse, or each of 0..{sites - 1} once; got "
            f"{order!r:.60}."
        )
    return sequence
