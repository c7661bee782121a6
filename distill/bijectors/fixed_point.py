"""Jacobi iteration: sequential maps solved in parallel, by rounds until nothing moves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from distill.checks import check_number

if TYPE_CHECKING:
    from distill.networks.sweep import Sweep

# Values beyond are no better than infinite ones: what they meet may overflow.
_HUGE = 1e18


@dataclass(frozen=True)
class Jacobi:
    r"""How to solve $x_t = \tau(u_t; c(x_{<t}))$ by rounds that update all sites of a window.

    $$x^{k+1}_t = \tau(u_t; c(x^k_{<t}))$$

    After k rounds the first k sites (blocks, for networks over blocks) are exact, so a window of n
    is exact after n rounds at most, and often much earlier. Windows follow one another: small ones
    take fewer rounds each, large ones are more parallel.

    Arguments:
        tolerance: A window is done when no site has moved by more in a round, in the units of the
            values solved for; 0 goes on until nothing moves.
        window: Sites, rounded up to whole blocks and frames; `None` for all at once.
        rounds: Most rounds of a window; `None` for as many as make it exact.

    Errors:
        ValueError: Numbers out of range.

    Source: Song et al., 2021, arXiv 2002.03629; for flows Liu and Qin, 2025, arXiv 2505.12849, and
    Zhang et al., 2025, arXiv 2505.24791.

    Example:
        >>> from distill.bijectors import Autoregressive
        >>> from distill.networks import MADE
        >>> layer, x = Autoregressive(MADE(sites=6, hidden=[8])), torch.randn(2, 6)
        >>> u, (solution,) = layer.inverse_in_rounds(x, None, Jacobi(tolerance=0.0, window=3))
        >>> with torch.no_grad():
        ...     torch.allclose(u, layer.inverse(x)[0], atol=1e-5), solution.converged
        (True, True)
    """

    tolerance: float = 1e-5
    window: int | None = None
    rounds: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_number("jacobi.tolerance", self.tolerance, low=0)
        for name in ("window", "rounds"):
            if getattr(self, name) is not None:
                check_number(f"jacobi.{name}", getattr(self, name), low=1, whole=True)


@dataclass(frozen=True)
class Solution:
    """What the rounds came to.

    Arguments:
        x: The values, `(B, T)`.
        rounds: Of each window.
        most: Rounds that would have made each window exact.
        moved: By how much a site of each window moved in its last round.
        error: Estimated largest distance to the sequential result, 0 where every window is exact.
        unsettled: The first window that is neither exact nor moved by no more than the tolerance.
    """

    x: Tensor
    rounds: tuple[int, ...]
    most: tuple[int, ...]
    moved: tuple[float, ...]
    error: float
    unsettled: int | None = None

    @property
    def converged(self) -> bool:
        """Whether every window is exact, or moved by no more than the tolerance."""
        return self.unsettled is None


@torch.no_grad()
def solve(sweep: Sweep, start: Tensor, jacobi: Jacobi) -> Solution:
    """Run rounds over each window until it is done.

    Arguments:
        sweep: Of a conditioner, from its `sweep`.
        start: What the sites are at first, `(B, T)`.
        jacobi: When to stop.

    Errors:
        ValueError: A value that is not finite at the end.
    """
    x = start.clone()
    rounds, most, moves, errors, unsettled = [], [], [], [0.0], None
    windows = sweep.windows(jacobi.window)
    for number, window in enumerate(windows):
        bound = sweep.most(window)
        limit = bound if jacobi.rounds is None else min(jacobi.rounds, bound)
        before, moved, done = math.inf, math.inf, 0
        while done < limit and moved > jacobi.tolerance:
            new = sweep.round(_fed(x), window)
            before, moved = moved, _distance(new, x[:, window])
            x[:, window] = new
            done += 1
        _check_finite(x[:, window], window, done, bound, number, len(windows))
        exact = done == bound or moved == 0
        if unsettled is None and not exact and moved > jacobi.tolerance:
            unsettled = number
        errors.append(0.0 if exact else _remaining(moved, before))
        rounds.append(done)
        most.append(bound)
        moves.append(moved)
        sweep.leave(x, window, settled=moved == 0)
    return Solution(x, tuple(rounds), tuple(most), tuple(moves), max(errors), unsettled)


def _fed(x: Tensor) -> Tensor:
    """Return what the network reads: 0 for what has overflowed, since 0 times NaN is NaN.

    A masked network would carry a site's NaN to the sites before it, and they would never be exact.
    """
    return torch.where(x.abs() < _HUGE, x, 0.0)


def _distance(new: Tensor, old: Tensor) -> float:
    moved = float((new - old).abs().max()) if new.numel() else 0.0
    return moved if math.isfinite(moved) else math.inf


def _remaining(moved: float, before: float) -> float:
    """Sum up the moves that are still to come, as if they went on falling at the same rate."""
    rate = moved / before
    return moved * rate / (1 - rate) if 0 < rate < 1 else moved


def _check_finite(
    values: Tensor, window: Any, done: int, bound: int, number: int, count: int
) -> None:
    bad = (~(values.abs() < _HUGE)).any(0).nonzero()
    if not len(bad):
        return
    inside = int(bad[0])
    site = window.start + inside if isinstance(window, slice) else int(window[inside])
    why = (
        "the sequential sampler gives the same. Look at the model's weights, or lower temperature="
        if done == bound
        else f"it would be exact after {bound}. Allow more rounds, or smaller windows"
    )
    raise ValueError(
        f"jacobi: site {site} in window {number + 1} of {count} is not finite after {done} rounds; "
        f"{why}."
    )
