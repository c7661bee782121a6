"""Coupling layers: one part of the sites drives the transform of the other."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from distill.bijectors.base import Bijector
from distill.bijectors.elementwise import Affine, Transform
from distill.bijectors.from_outputs import Again
from distill.checks import check_number, check_sites
from distill.contract import Context

Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Coupling(Bijector):
    r"""Keep some sites, transform the others given them: fast in both directions.

    With `Affine` this is Real-NVP, with `Shift` NICE. `mask="half"` keeps the first half,
    `mask="even"` every other site; put a `Flip` or the other `keep` between layers.

    Arguments:
        sites: T, at least 2.
        network: Maps `(B, kept [+ context channels])` to `(B, changed * parameters_per_site)`.
        transform: What is done to the changed sites.
        mask: `half` or `even`.
        keep: Which part is kept, 0 (the first half, or even sites) or 1.

    Errors:
        ValueError: Fewer than two sites, or an unknown mask; a context of other rows than values.

    Source: Dinh et al., Real-NVP, 2016, arXiv 1605.08803; NICE, 2014, arXiv 1410.8516.

    Example:
        >>> from distill.networks import MLP
        >>> layer = Coupling(sites=2, network=MLP(1, 2, hidden=[8]))
        >>> u = torch.randn(3, 2)
        >>> torch.allclose(layer.inverse(layer(u)[0])[0], u, atol=1e-6)
        True
    """

    is_parallel = True
    kept: Tensor
    changed: Tensor

    def __init__(
        self,
        sites: int,
        network: nn.Module,
        transform: Transform | None = None,
        mask: str = "half",
        keep: int = 0,
    ) -> None:
        super().__init__()
        kept, changed = split_sites(sites, mask, keep)
        self.sites = sites
        self.network = network
        self.transform = transform if transform is not None else Affine()
        self.keeps_order = max(kept) < min(changed)
        self.is_affine = self.transform.is_affine
        self.register_buffer("kept", torch.tensor(kept), persistent=False)
        self.register_buffer("changed", torch.tensor(changed), persistent=False)

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Transform the changed sites."""
        return self._apply_to(u, context, self.transform.forward)

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Undo the transform; the kept sites are at hand, so it is parallel too."""
        return self._apply_to(x, context, self.transform.inverse)

    def forward_again(self, x: Tensor, context: Context | None = None) -> Again:
        """Find the noise, and map it again; the network, which sees kept sites, runs once."""
        return self._again(x, context, self.transform.forward, self.transform.inverse)

    def inverse_again(self, u: Tensor, context: Context | None = None) -> Again:
        """Find the data, and map it again."""
        return self._again(u, context, self.transform.inverse, self.transform.forward)

    def _again(
        self, output: Tensor, context: Context | None, change: Change, undo: Change
    ) -> Again:
        leaf = output.detach().clone().requires_grad_()
        raw = self._raw(leaf, context)
        with torch.no_grad():
            found = undo(output[:, self.changed], raw)[0]
            value = output.index_copy(1, self.changed, found)
            apart = found - leaf[:, self.changed]
        return Again(value, leaf, *self._changed(leaf, leaf[:, self.changed] + apart, raw, change))

    def _apply_to(
        self, value: Tensor, context: Context | None, change: Change
    ) -> tuple[Tensor, Tensor]:
        check_sites(self, value, self.sites)
        raw = self._raw(value, context)
        return self._changed(value, value[:, self.changed], raw, change)

    def _raw(self, value: Tensor, context: Context | None) -> Tensor:
        seen = value[:, self.kept]
        rows = None if context is None else context.rows
        if rows is not None:
            if rows.dim() != 2 or rows.shape[0] != value.shape[0]:
                raise ValueError(
                    f"Coupling: wanted context rows of shape ({value.shape[0]}, channels), one for "
                    f"each value, got {tuple(rows.shape)}. Pass features of as many rows."
                )
            seen = torch.cat([seen, rows], 1)
        raw = self.network(seen)
        return raw.unflatten(1, (len(self.changed), self.transform.parameters_per_site))

    def _changed(
        self, value: Tensor, old: Tensor, raw: Tensor, change: Change
    ) -> tuple[Tensor, Tensor]:
        new, log_det = change(old, raw)
        zeros = torch.zeros_like(value, dtype=log_det.dtype)
        return value.index_copy(1, self.changed, new), zeros.index_copy(1, self.changed, log_det)


def split_sites(sites: int, mask: str = "half", keep: int = 0) -> tuple[list[int], list[int]]:
    """Return the kept and the changed sites of a coupling layer.

    Example:
        >>> split_sites(5, "even")
        ([0, 2, 4], [1, 3])
    """
    if sites < 2 or mask not in ("half", "even"):
        raise ValueError(
            f"Coupling: wanted at least 2 sites and mask=half or even; got {sites} and {mask!r}."
        )
    check_number("Coupling: keep", keep, low=0, high=1, whole=True)
    every = list(range(sites))
    parts = (
        (every[: sites // 2], every[sites // 2 :]) if mask == "half" else (every[::2], every[1::2])
    )
    return parts[keep], parts[1 - keep]
