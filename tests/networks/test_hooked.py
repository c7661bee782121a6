"""Networks with hooks and replaced parts: what samples and inverts computes what scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from distill import DataSpec, Jacobi, wavenet_iaf
from distill.bijectors import Autoregressive
from distill.contract import Context
from distill.distributions import GaussianHead
from distill.kernels.choice import plain_twins
from distill.networks import MADE, WaveNet, wavenet_stack
from distill.networks.wavenet_sampling import has_fast_path, reads_as_built


class Louder(nn.Linear):
    """A layer put in another's place."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.5 * super().forward(x)


class Halved(GaussianHead):
    """A head that samples otherwise than the one that it comes from."""

    def sample_from(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        return super().sample_from(raw, 0.5 * noise, temperature)


def louder(module: nn.Module, given: Any, result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(1.5 * value for value in result)
    return 1.5 * result


def hook(net: nn.Module, part: str) -> None:
    net.get_submodule(part).register_forward_hook(louder)


def replace(net: nn.Module, part: str) -> None:
    old, (place, _, name) = net.get_submodule(part), part.rpartition(".")
    new = Louder(old.in_features, old.out_features, old.bias is not None)
    new.load_state_dict(old.state_dict())
    setattr(net.get_submodule(place), name, new)


def normalize(net: nn.Module, part: str) -> None:
    parametrizations.weight_norm(net.get_submodule(part))


LINEAR = ["first", "hidden", "last", "from_context", "layers.1.taps", "layers.0.out"]
CHANGES = [(hook, part) for part in [*LINEAR, "inner", "layers.1", ""]]
CHANGES += [(replace, part) for part in LINEAR]
# The last layer has rows of zeros, which have no direction.
CHANGES += [(normalize, part) for part in LINEAR if part != "last"]


@pytest.mark.parametrize("hop", [1, 4])
@pytest.mark.parametrize(("change", "part"), CHANGES)
def test_a_changed_wavenet_samples_from_the_density_that_it_scores(change, part, hop, monkeypatch):
    monkeypatch.setattr(wavenet_stack, "_LEAST_ROWS", 1)
    net, head = WaveNet(2, 2, channels=4, context_channels=3, block=2), GaussianHead()
    change(net, part)
    context = Context(torch.randn(2, 8 // hop, 3), hop)
    noise = head.noise((2, 8))
    x = net.generate(head, noise, context)
    with torch.no_grad():
        raw = net(x, context)
        torch.testing.assert_close(head.sample_from(raw, noise), x, atol=1e-5, rtol=1e-5)
        with plain_twins():
            torch.testing.assert_close(net(x, context), raw, atol=1e-5, rtol=1e-5)


def test_parametrized_weights_still_take_the_compiled_loop():
    net = WaveNet(2, 2, channels=4)
    normalize(net, "layers.1.taps")
    assert reads_as_built(net)


def test_a_head_that_samples_otherwise_is_sampled_by_its_own_function():
    noise = GaussianHead().noise((2, 8))
    assert has_fast_path(GaussianHead(), noise)
    assert not has_fast_path(Halved(), noise)


@pytest.mark.parametrize("part", ["layers.0", "layers.1", "layers.2", "activation", ""])
def test_a_hooked_made_is_inverted_by_what_it_computes(part):
    made, head = MADE(4, [8, 8], zero=False), GaussianHead()
    hook(made, part)
    layer, u, noise = Autoregressive(made), torch.randn(3, 4), head.noise((3, 4))
    with torch.no_grad():
        torch.testing.assert_close(layer.inverse(layer(u)[0])[0], u, atol=1e-5, rtol=1e-5)
        x = made.generate(head, noise)
        torch.testing.assert_close(head.sample_from(made(x), noise), x, atol=1e-5, rtol=1e-5)


def test_chunks_and_rounds_that_would_leave_a_hook_out_are_refused():
    student = wavenet_iaf(DataSpec(sites=None), flows=[2], channels=4)
    noise = student.noise(1, sites=8)
    state = student.start(noise)
    hook(student.bijector.layers[0].conditioner, "layers.1")
    with pytest.raises(ValueError, match="wanted layers without hooks"):
        student.run(state, noise)
    with pytest.raises(ValueError, match="wanted layers without hooks"):
        student.bijector.inverse_in_rounds(noise, None, Jacobi())
