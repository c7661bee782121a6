"""Jacobi iteration of a conditioner: one parallel pass updates all sites of a window."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.contract import Context

if TYPE_CHECKING:
    from distill.networks.conditioner import Conditioner
    from distill.networks.wavenet import WaveNet

Update = Callable[[Tensor, Any], Tensor]
"""Raw parameters `(B, n, P)` of some sites, and the index of these, to their values `(B, n)`."""


class Sweep:
    """Rounds over windows of sites, in the order in which a conditioner reads them.

    Arguments:
        conditioner: The network.
        update: What a site is, given its parameters.
        like: `(B, T)`, gives the shape only.
        context: What the network reads beside values.
    """

    def __init__(
        self, conditioner: Conditioner, update: Update, like: Tensor, context: Context | None
    ) -> None:
        self.conditioner, self.update, self.context = conditioner, update, context
        sites = like.shape[1]
        order = range(sites) if conditioner.order is None else conditioner.order
        self.order = torch.tensor(list(order), device=like.device)

    def windows(self, size: int | None) -> list[Any]:
        """Return the index of each window of about `size` sites, one of all sites for `None`."""
        return list(self.order.split(size or len(self.order)))

    def most(self, window: Any) -> int:
        """Return after how many rounds a window is exact, whatever it started from."""
        return len(window)

    def round(self, x: Tensor, window: Any) -> Tensor:
        """Return the window's next values `(B, n)`, given those before it and its present ones."""
        return self.update(self.conditioner(x, self.context)[:, window], window)

    def leave(self, x: Tensor, window: Any, settled: bool) -> None:
        """Let the next window begin; `settled` says that the last round has changed nothing."""


class BlockSweep(Sweep):
    """Rounds of a WaveNet: windows before the present one are its state, and are not run again.

    The sites of a block are solved one after the other, by the linear map that its network gave for
    the whole block: so a window is exact after as many rounds as it has blocks.
    """

    def __init__(
        self, conditioner: WaveNet, update: Update, like: Tensor, context: Context | None
    ) -> None:
        super().__init__(conditioner, update, like, context)
        self.net, self.sites = conditioner, like.shape[1]
        self.state = self.after = conditioner.start_run(like)

    def windows(self, size: int | None) -> list[slice]:
        """Return windows of whole blocks and whole rows of the context."""
        hop = self.context.hop if self.context is not None else 1
        unit = math.lcm(self.net.block, hop)
        step = self.sites if size is None else -(-size // unit) * unit
        return [slice(i, min(i + step, self.sites)) for i in range(0, self.sites, step)]

    def most(self, window: slice) -> int:
        """Return the number of its blocks."""
        return -(-(window.stop - window.start) // self.net.block)

    def round(self, x: Tensor, window: slice) -> Tensor:
        """Run the network once over the window, then solve its blocks."""
        raw, coefficients = self._run(x, window)
        values = x.new_zeros(raw.shape[:3])
        for j in range(self.net.block):
            sites = slice(window.start + j, window.stop, self.net.block)
            count = len(range(*sites.indices(self.sites)))
            own = self.net.inner(raw, coefficients, values)[:, :count, j]
            values[:, :count, j] = self.update(own, sites)
        return values.flatten(1, 2)[:, : window.stop - window.start]

    def leave(self, x: Tensor, window: slice, settled: bool) -> None:
        """Take the window into the state."""
        if window.stop < self.sites and not settled:
            self._run(x, window)
        self.state = self.after

    def _run(self, x: Tensor, window: slice) -> tuple[Tensor, Tensor]:
        own = x[:, window]
        context = self.context and self.context.part(window.start, window.stop)
        read = self.net.reader(context, own)
        whole = F.pad(own, (0, -own.shape[1] % self.net.block))
        raw, coefficients, self.after = self.net.run_blocks(self.state, whole, read)
        return raw, coefficients
