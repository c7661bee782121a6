"""A plain perceptron, for coupling layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from distill.checks import check_number, checked_widths
from distill.functional import in_full_precision


class MLP(nn.Module):
    """A perceptron with a linear last layer that starts at zero.

    Arguments:
        inputs: Number of inputs.
        outputs: Number of outputs.
        hidden: Widths of the hidden layers.

    Errors:
        ValueError: Widths that are no list, or a size out of range.

    Example:
        >>> import torch
        >>> MLP(3, 4, hidden=[8])(torch.randn(2, 3)).tolist()[0]
        [0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int] = (128, 128)) -> None:
        super().__init__()
        for name, size in (("inputs", inputs), ("outputs", outputs)):
            check_number(f"MLP: {name}", size, low=1, whole=True)
        layers: list[nn.Module] = []
        for width in checked_widths(hidden):
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        last = nn.Linear(inputs, outputs)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, inputs)` to `(B, outputs)`."""
        return in_full_precision(self.layers[-1], self.layers[:-1](x))
