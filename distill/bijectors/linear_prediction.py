"""Whitening by linear prediction: excitation to signal, by filters that the context gives."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual
from torch.nn import functional as F

from distill.bijectors.all_pole import filter_by_kernel, filter_by_sites
from distill.bijectors.base import Bijector, State
from distill.checks import check_number
from distill.contract import Context, Prediction
from distill.kernels.synthesis import check_filters, has_kernel


class LinearPrediction(Bijector):
    r"""Excitation to signal by a filter for each frame: $x_t = g\,e_t + \sum_{k=1}^p a_k x_{t-k}$.

    `inverse` whitens, $e_t = (x_t - \sum_k a_k x_{t-k}) / g$, in one parallel pass; `forward` is
    sequential, and takes p multiplications a site. Coefficients and gain are those of the site's
    frame, the past crosses frames. The log-det is $\log g$ per site. There are no parameters: what
    filters comes from the context's `prediction`.

    All arithmetic is in float64, results are in the type of the argument. `forward` runs a
    compiled loop on the CPU wherever its arguments lie. Where gradients in the coefficients are
    wanted, or numba is missing, it runs the plain twin.

    Arguments:
        order: p.

    Attributes:
        compiled: Set it to `False` to filter site after site always, the plain baseline.

    Errors:
        ValueError: A context without a prediction, or with one of another order or batch; values
            that are no whole frames; a filter that is not finite, or not stable.

    Source: Itakura and Saito, 1968; Makhoul, Linear prediction: a tutorial review, 1975; Valin and
    Skoglund, LPCNet, 2018, arXiv 1810.11846.

    Example:
        >>> half = Prediction(torch.full((1, 2, 1), 0.5), torch.zeros(1, 2), hop=2)
        >>> layer, context = LinearPrediction(order=1), Context(prediction=half)
        >>> x, log_det = layer(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), context)
        >>> x.tolist(), layer.inverse(x, context)[0].tolist()
        ([[1.0, 0.5, 0.25, 0.125]], [[1.0, 0.0, 0.0, 0.0]])
    """

    keeps_order = True
    is_affine = True
    state_size = 1
    compiled: bool = True

    def __init__(self, order: int) -> None:
        super().__init__()
        check_number("LinearPrediction: order", order, low=1, whole=True)
        self.order = order

    def extra_repr(self) -> str:
        """Show the order."""
        return f"order={self.order}"

    def forward(self, u: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Map excitation to signal, site after site."""
        return self.run(self.start(u, context), u, context)[:2]

    def inverse(self, x: Tensor, context: Context | None = None) -> tuple[Tensor, Tensor]:
        """Map signal to excitation in one parallel pass."""
        prediction = self._read(x, context)
        a, log_gain, hop = prediction.coefficients, prediction.log_gain, prediction.hop
        windows = F.pad(x.double(), (self.order, 0)).unfold(1, hop + self.order, hop)
        e = windows[..., self.order :]
        for k in range(1, self.order + 1):
            lagged = windows[..., self.order - k : self.order - k + hop]
            e = torch.addcmul(e, a[..., k - 1 : k], lagged, value=-1)
        e = (e * (-log_gain).exp()[..., None]).flatten(1)
        return e.to(x.dtype), -_held(log_gain, hop).to(x.dtype)

    def start(self, u: Tensor, context: Context | None = None) -> State:
        """Return the last p sites of the signal before the first: zeros `(B, p)`, float64."""
        return (u.new_zeros(u.shape[0], self.order, dtype=torch.float64),)

    def run(
        self, state: State, u: Tensor, context: Context | None = None
    ) -> tuple[Tensor, Tensor, State]:
        """Map the next whole frames of excitation."""
        prediction = self._read(u, context, stable=True)
        a, log_gain, hop = prediction.coefficients, prediction.log_gain, prediction.hop
        (past,) = state
        past = past.double()
        held = _held(log_gain, hop)
        fixed = not (
            (torch.is_grad_enabled() and a.requires_grad) or unpack_dual(a).tangent is not None
        )
        run = filter_by_kernel if self.compiled and fixed and has_kernel() else filter_by_sites
        x = run(u.double() * held.exp(), past, a, hop)
        past = torch.cat([past, x], 1)[:, -self.order :].contiguous()
        return x.to(u.dtype), held.to(u.dtype), (past,)

    def _read(self, value: Tensor, context: Context | None, stable: bool = False) -> Prediction:
        found: Prediction = (context or Context()).need(
            "prediction",
            self,
            "Build the model with an encoder that derives one from the mel (Envelope), and pass "
            "the features it was trained with.",
        )
        batch, frames, hop = *found.log_gain.shape, found.hop
        wanted = (batch, frames, self.order)
        if found.coefficients.shape != wanted or value.shape != (batch, frames * hop):
            raise ValueError(
                f"LinearPrediction: for {frames} frames of {hop} sites wanted coefficients "
                f"{wanted} and values ({batch}, {frames * hop}), got "
                f"{tuple(found.coefficients.shape)} and {tuple(value.shape)}. Pass whole frames, "
                "and the features of just these."
            )
        arrays = None if torch.compiler.is_compiling() else _arrays(found)
        if arrays is not None:
            check_filters(type(self).__name__, *arrays, stable=stable)
        return Prediction(found.coefficients.double(), found.log_gain.double(), hop)


def _held(values: Tensor, hop: int) -> Tensor:
    """Repeat each frame's number for its sites."""
    return values[..., None].expand(*values.shape, hop).flatten(1)


def _arrays(found: Prediction) -> tuple[np.ndarray, np.ndarray] | None:
    """Return coefficients and log-gain, or `None` while only their shapes are known."""
    try:
        return found.coefficients.detach().cpu().numpy(), found.log_gain.detach().cpu().numpy()
    except RuntimeError:  # inside a functional transform, or an export
        return None
