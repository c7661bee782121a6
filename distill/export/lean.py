"""The same WaveNet layers in fewer steps, for graphs that only run chunks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from distill.networks import WaveNet
from distill.networks.wavenet_layer import WaveNetLayer


class LeanLayer(nn.Module):
    """A gated layer's `run` with constants folded into its weights and no copies of its input.

    Small chunks spend more time between the matrix products than in them. So the factor 2 of the
    gate goes into the last map, and the bias of the taps, where it can, into the context's
    projection, which has one row a frame.

    Arguments:
        layer: The plain layer, whose weights it shares where it can.
        biased: Whether the taps keep their bias.

    Example:
        >>> layer = WaveNetLayer(4, 4, 4, 0, kernel=2, dilation=2)
        >>> lean, h, past = LeanLayer(layer), torch.randn(1, 5, 4), torch.randn(1, 2, 4)
        >>> torch.allclose(lean.run(h, None, 1, past)[0], layer.run(h, None, 1, past)[0], atol=1e-6)
        True
    """

    def __init__(self, layer: WaveNetLayer, biased: bool = True) -> None:
        super().__init__()
        self.sizes = layer.sizes
        self.kernel, self.dilation, self.reach = layer.kernel, layer.dilation, layer.reach
        self.taps = _linear(layer.taps.weight, layer.taps.bias if biased else None)
        self.out = _linear(2 * layer.out.weight.detach(), layer.out.bias)

    def run(
        self, h: Tensor, context: Tensor | None, hop: int, past: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map a chunk after the last inputs `past`; return the next input, the skip and the past.

        Without skip channels, what stands for the skip has no meaning.
        """
        padded, sites = torch.cat([past, h], 1), h.shape[1]
        taps = [padded[:, j * self.dilation :][:, :sites] for j in range(self.kernel - 1)]
        z = self.taps(torch.cat([*taps, h], -1))
        if context is not None and hop > 1:
            z = (z.unflatten(1, (-1, hop)) + context[:, :, None]).flatten(1, 2)
        elif context is not None:
            z = z + context
        a, b = torch.sigmoid(z).chunk(2, -1)
        out, after = self.out((a - 0.5) * b), padded[:, sites:].contiguous()
        if not self.sizes[1]:
            return h + out, out, after
        residual, skip = out.split(self.sizes, -1)
        return (h + residual if self.sizes[0] else h), skip, after


def make_lean(model: nn.Module) -> None:
    """Replace the layers of every WaveNet of a frozen model in place; only its `run` is left."""
    for net in [module for module in model.modules() if isinstance(module, WaveNet)]:
        layers: list[WaveNetLayer] = list(net.layers)  # type: ignore[arg-type]
        project = net.from_context
        if project is not None:
            biases = torch.cat([layer.taps.bias for layer in layers])
            net.from_context = _linear(project.weight, biases)
        net.layers = nn.ModuleList(LeanLayer(layer, biased=project is None) for layer in layers)


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    made.weight = nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return made
