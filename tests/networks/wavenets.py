"""WaveNets of every kind, with contexts to match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from distill.contract import Context
from distill.networks import WaveNet

# Nothing voiced; a period shorter than a block; three that fit; one beyond the longest.
LAGS = torch.tensor([0.0, 3.3, 9.7, 13.0, 21.4, 99.0], dtype=torch.float64)
LONGEST = 24


class Case(NamedTuple):
    """Settings of a network, and sites per row of its context: 0 for one row, `None` for none."""

    settings: Mapping[str, Any]
    hop: int | None = None
    sites: int = 57

    def net(self, seed: int = 0) -> WaveNet:
        """Return one in float64 with random weights, so that nothing is tested at its start."""
        torch.manual_seed(seed)
        net = WaveNet(**self.settings).double()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.2 * torch.randn_like(parameter))
        return net

    def inputs(self, batch: int = 2, sites: int | None = None) -> tuple[Tensor, Context | None]:
        """Return values and what the network reads beside them."""
        sites = self.sites if sites is None else sites
        x = torch.randn(batch, sites, dtype=torch.float64)
        rows = source = lag = None
        if self.hop is not None:
            shape = (batch, sites // self.hop, 3) if self.hop else (batch, 3)
            rows = torch.randn(shape, dtype=torch.float64)
        if count := self.settings.get("source_channels"):
            source = torch.randn(batch, sites, count, dtype=torch.float64)
        if self.settings.get("pitch_taps"):
            turn = torch.arange(sites) // 5 + 2 * torch.arange(batch)[:, None]
            lag = LAGS[turn % len(LAGS)]
        return x, None if rows is lag is None else Context(rows, self.hop or 1, source, lag)

    @property
    def few(self) -> int:
        """A number of sites for slow tests, about half of them in whole rows."""
        return self.sites // 2 // (self.hop or 1) * (self.hop or 1)

    @property
    def unit(self) -> int:
        """Sites of the shortest chunk."""
        return max(self.hop or 1, self.settings.get("block", 1))


def part_of(context: Context | None, begin: int, end: int) -> Context | None:
    """Return the context of some sites."""
    if context is None:
        return None
    rows, hop = context.rows, context.hop
    if rows is not None and rows.dim() == 3:
        rows = rows[:, begin // hop : end // hop]
    source, lag = (None if v is None else v[:, begin:end] for v in (context.source, context.lag))
    return Context(rows, hop, source, lag)


def _with(block: int, hop: int | None = None, sites: int = 57, **more: Any) -> Case:
    sizes = {
        "layers": 2,
        "channels": 6,
        "block": block,
        "context_channels": 0 if hop is None else 3,
    }
    return Case({**sizes, **more}, hop, sites)


PITCH = {"pitch_taps": 3, "longest_lag": LONGEST}
SEVERAL = {"pitch_taps": 3, "longest_lag": 2 * LONGEST, "pitch_periods": 3}
ROWS = {"channels": 8, "context_channels": 3}
CASES = {
    "kernel 2 with skips": Case({"layers": 6, "cycles": 2, "channels": 8}),
    "kernel 3 without skips": Case(
        {"layers": 3, "kernel": 3, "channels": 8, "skip_channels": 0},
    ),
    "unequal widths": Case(
        {
            "parameters_per_site": 3,
            "layers": 4,
            "channels": 5,
            "gate_channels": 3,
            "skip_channels": 9,
            "input_scale": 4.0,
        }
    ),
    "rows of 6 sites": Case({"layers": 4, **ROWS}, 6, 42),
    "rows of 6 sites, source": Case({"layers": 4, "source_channels": 2, **ROWS}, 6, 42),
    "a row a site": Case({"layers": 4, "kernel": 3, **ROWS}, 1, 42),
    "blocks of 1, one row": _with(1, 0),
    "blocks of 1, pitch taps": _with(1, **PITCH),
    "blocks of 1, several periods": _with(1, **SEVERAL),
}
for _r in (2, 4, 8):
    CASES |= {
        f"blocks of {_r}": _with(_r),
        f"blocks of {_r}, pitch taps": _with(_r, **PITCH),
        f"blocks of {_r}, one row": _with(_r, 0),
        f"blocks of {_r}, rows of 8 sites": _with(_r, 8, 56),
        f"blocks of {_r}, rows of 2 sites": _with(_r, 2, 58),
        f"blocks of {_r}, source": _with(_r, 2, 58, source_channels=2),
        f"blocks of {_r}, all of it": _with(
            _r,
            8,
            56,
            layers=1,
            kernel=3,
            skip_channels=0,
            source_channels=2,
            pitch_taps=5,
            longest_lag=LONGEST,
            pitch_periods=2,
        ),
    }
