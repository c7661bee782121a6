"""A small classifier of raw audio, for perceptual losses and for recognizing copies."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distill import rows
from distill.contract import DataSpec
from distill.functional import in_full_precision


class Classifier(nn.Module):
    r"""Raw audio `(B, T)` to logits `(B, classes)`, by gated dilated convolutions as in a WaveNet.

    Strided convolutions bring the sample rate down by `reduction`; `layers` gated layers with
    dilations 1, 2, 4, ... follow, $h_{i+1} = h_i + V_i(\tanh z_i^a \odot \sigma(z_i^b))$; their
    mean and maximum over the heard sites give the logits. It looks both ways in time: it judges,
    and never generates.

    Arguments:
        spec: Names the classes and carries the data's scale and sample rate.
        target: The feature of kind `label` to predict.
        channels: Of every layer.
        layers: Gated layers.
        kernel: Taps of each.
        reduction: Factor of the front end, a power of 2 from 4 on.
        dropout: Share of the pooled channels left out in training.

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
        reduction: int = 8,
        dropout: float = 0.2,
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
        if reduction < 4 or reduction & (reduction - 1):
            raise ValueError(
                f"Classifier: wanted reduction, a power of 2 from 4 on, got {reduction}."
            )
        self.spec, self.target, self.classes = spec, target, feature.size
        self.reduction = reduction
        self.gains_from_bfloat16 = channels >= 48
        strides = [4, *[2] * (reduction.bit_length() - 3)]
        widths = [1, *[channels] * len(strides)]
        self.front = nn.ModuleList(
            nn.Conv1d(width, channels, 4 * stride, stride, padding=3 * stride // 2)
            for width, stride in zip(widths, strides, strict=False)
        )
        self.layers = nn.ModuleList(
            _GatedLayer(channels, kernel, dilation=2 ** (i % 8)) for i in range(layers)
        )
        self.dropout = dropout
        self.last = nn.Linear(2 * channels, self.classes)

    def extra_repr(self) -> str:
        """Show what is predicted."""
        return f"target={self.target}, classes={self.classes}"

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the logits; sites whose mask is 0 are not heard."""
        h = self.activations(x, mask)[-1]
        heard = self._heard(x, mask, h.shape[-1])
        mean = (h * heard).sum(-1) / heard.sum(-1).clamp_min(1)
        peak = h.masked_fill(heard == 0, -torch.inf).amax(-1)
        pooled = torch.cat([mean, torch.nan_to_num(peak, neginf=0.0)], -1)
        pooled = rows.dropout(pooled, self.dropout) if self.training else pooled
        return in_full_precision(self.last, pooled)

    def activations(self, x: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Return what each gated layer gives, `(B, channels, T / reduction)`."""
        h = (x if mask is None else x * mask)[:, None] / self.spec.scale[0]
        h = F.pad(h, (0, -h.shape[-1] % self.reduction))
        for conv in self.front:
            h = F.gelu(conv(h))
        values = []
        for layer in self.layers:
            h = layer(h)
            values.append(h)
        return values

    def _heard(self, x: Tensor, mask: Tensor | None, rows: int) -> Tensor:
        if mask is None:
            mask = torch.ones_like(x)
        mask = F.pad(mask, (0, -mask.shape[-1] % self.reduction))
        return F.max_pool1d(mask.to(x.dtype)[:, None], self.reduction)[..., :rows]


class _GatedLayer(nn.Module):
    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, channels)
        padding = dilation * (kernel // 2)
        self.taps = nn.Conv1d(channels, 2 * channels, kernel, dilation=dilation, padding=padding)
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, h: Tensor) -> Tensor:
        a, b = self.taps(self.norm(h)).chunk(2, 1)
        return h + self.out(torch.tanh(a) * torch.sigmoid(b))
