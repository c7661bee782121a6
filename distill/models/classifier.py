"""A small classifier of raw audio, for perceptual losses and for recognizing copies."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill.contract import DataSpec
from distill.functional import in_full_precision
from distill.networks.fronts import StridedFront


class Classifier(nn.Module):
    r"""Raw audio `(B, T)` to logits `(B, classes)`, by gated dilated convolutions as in a WaveNet.

    A front brings the sample rate down; `layers` gated layers with dilations 1, 2, 4, ... follow,
    $h_{i+1} = h_i + V_i(\tanh z_i^a \odot \sigma(z_i^b))$; their mean and maximum over the heard
    sites give the logits. It looks both ways in time: it judges, and never generates. What fills a
    batch up changes nothing.

    Arguments:
        spec: Names the classes and carries the data's scale and sample rate.
        target: The feature of kind `label` to predict.
        channels: Of every layer.
        layers: Gated layers.
        kernel: Taps of each.
        dropout: Share of the pooled channels left out in training.
        front: Builds the front from the number of channels and the sample rate: a `StridedFront`
            of samples by default, or a `LogMelFront`.

    Attributes:
        gains_from_bfloat16: Whether training it in mixed precision pays.

    Errors:
        ValueError: The data has no such label; settings out of range.

    Source: van den Oord et al., Parallel WaveNet, 2017, arXiv 1711.10433, section 5 (its phone
    classifier).

    Example:
        >>> from distill.contract import FeatureSpec
        >>> spec = DataSpec(sites=None, features={"label": FeatureSpec("label", 3)})
        >>> Classifier(spec, channels=8, layers=2)(torch.randn(5, 400)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        spec: DataSpec,
        target: str = "label",
        channels: int = 48,
        layers: int = 7,
        kernel: int = 3,
        dropout: float = 0.2,
        front: Callable[[int, int | None], nn.Module] = StridedFront,
    ) -> None:
        super().__init__()
        feature = spec.features.get(target)
        if feature is None or feature.kind != "label":
            labels = [name for name, f in spec.features.items() if f.kind == "label"]
            raise ValueError(
                f"Classifier: wanted data with a label named {target!r}, got the labels "
                f"{', '.join(labels) or 'none'}. Condition the data on it (data.conditions=[label])"
                " or choose another with classifier.target=."
            )
        if layers < 1 or channels < 4 or channels % 4 or kernel < 3 or kernel % 2 == 0:
            raise ValueError(
                "Classifier: wanted layers >= 1, channels a multiple of 4 and an odd kernel >= 3; "
                f"got layers={layers}, channels={channels}, kernel={kernel}."
            )
        self.spec, self.target, self.classes = spec, target, feature.size
        self.gains_from_bfloat16 = channels >= 48
        self.front = front(channels, spec.sample_rate)
        self.layers = nn.ModuleList(
            _GatedLayer(channels, kernel, dilation=2 ** (i % 8)) for i in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(2 * channels, self.classes)

    def extra_repr(self) -> str:
        """Show what is predicted."""
        return f"target={self.target}, classes={self.classes}"

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the logits; sites whose mask is 0 are not heard."""
        h = self.activations(x, mask)[-1]
        heard = F.max_pool1d(self._heard(x, mask), self._reduction)
        mean = (h * heard).sum(-1) / heard.sum(-1).clamp_min(1)
        peak = h.masked_fill(heard == 0, -torch.inf).amax(-1)
        pooled = self.dropout(torch.cat([mean, torch.nan_to_num(peak, neginf=0.0)], -1))
        return in_full_precision(self.last, pooled)

    def activations(self, x: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Return what each gated layer gives, `(B, channels, rows)`."""
        heard = self._heard(x, mask)
        h = F.pad(x[:, None], (0, heard.shape[-1] - x.shape[1])) * heard / self.spec.scale[0]
        h = self.front(h, heard)
        heard = F.max_pool1d(heard, self._reduction)
        values = []
        for layer in self.layers:
            h = layer(h) * heard
            values.append(h)
        return values

    @property
    def _reduction(self) -> int:
        return int(self.front.reduction)  # type: ignore[arg-type]

    def _heard(self, x: Tensor, mask: Tensor | None) -> Tensor:
        mask = torch.ones_like(x) if mask is None else mask.to(x.dtype)
        return F.pad(mask, (0, -mask.shape[-1] % self._reduction))[:, None]


class _GatedLayer(nn.Module):
    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        padding = dilation * (kernel // 2)
        self.taps = nn.Conv1d(channels, 2 * channels, kernel, dilation=dilation, padding=padding)
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, h: Tensor) -> Tensor:
        # Each row by itself: a norm over time would hear what fills a batch up.
        normal = self.norm(h.mT).mT
        a, b = self.taps(normal).chunk(2, 1)
        return h + self.out(torch.tanh(a) * torch.sigmoid(b))
