"""Batch normalization: statistics, modes, directions, recomputation."""

from __future__ import annotations

import copy

import pytest
import torch

from distill.bijectors import Autoregressive, BatchNorm, Chain, Flip, Inverse
from distill.networks import MADE


@pytest.fixture(name="x")
def _x() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 + 2 * torch.randn(64, 3, dtype=torch.float64, generator=generator)


def test_training_normalizes_by_the_batch(x):
    u, log_det = BatchNorm(3).double().inverse(x)
    torch.testing.assert_close(u.mean(0), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(
        u.std(0, correction=0), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0
    )
    expected = -0.5 * (x.var(0, correction=0) + 1e-5).log()
    torch.testing.assert_close(log_det, expected.expand_as(x))


def test_running_statistics_move_by_the_momentum(x):
    layer = BatchNorm(3, momentum=0.25).double()
    layer.inverse(x)
    torch.testing.assert_close(layer.running_mean, 0.25 * x.mean(0))
    torch.testing.assert_close(layer.running_var, 0.75 + 0.25 * x.var(0))


def test_running_statistics_agree_with_torch(x):
    layer, reference = BatchNorm(3).double(), torch.nn.BatchNorm1d(3).double()
    for shift in range(5):
        u, _ = layer.inverse(x + shift)
        torch.testing.assert_close(u, reference(x + shift))
    torch.testing.assert_close(layer.running_mean, reference.running_mean)
    torch.testing.assert_close(layer.running_var, reference.running_var)
    torch.testing.assert_close(layer.eval().inverse(x)[0], reference.eval()(x))


def test_evaluation_leaves_the_statistics_alone(x):
    layer = BatchNorm(3).double().eval()
    before = copy.deepcopy(layer.state_dict())
    layer.inverse(x)
    layer.forward(x)
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_in_training_noise_to_data_uses_the_running_statistics(x):
    layer = BatchNorm(3).double()
    layer.running_mean.fill_(5.0)
    layer.running_var.fill_(4.0)
    out, log_det = layer.forward(x)
    torch.testing.assert_close(out, 5 + x * (4 + 1e-5) ** 0.5)
    torch.testing.assert_close(log_det.exp(), torch.full_like(x, (4 + 1e-5) ** 0.5))


def test_a_student_normalizes_by_the_batch_on_its_way_from_noise_to_data(x):
    u, _ = Inverse(BatchNorm(3).double()).forward(x)
    torch.testing.assert_close(u.mean(0), torch.zeros(3, dtype=torch.float64))


def test_gradient_passes_through_the_batch_statistics(x):
    x.requires_grad_()
    BatchNorm(3).double().inverse(x)[0].square().sum().backward()
    # The sum of squares of a normalized batch is constant but for eps.
    assert x.grad.abs().max() < 1e-4


def test_a_batch_of_one_row_is_refused():
    with pytest.raises(ValueError, match="at least 2 rows"):
        BatchNorm(3).inverse(torch.zeros(1, 3))


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_recomputation_changes_neither_statistics_nor_gradients(x, direction):
    torch.manual_seed(1)
    layers = []
    for _ in range(3):
        layer, norm = Autoregressive(MADE(3, [8], zero=False)), BatchNorm(3)
        layers += (
            [layer, Inverse(norm), Flip()]
            if direction == "forward"
            else [
                Inverse(layer),
                norm,
                Flip(),
            ]
        )
    plain = Chain(layers).double()
    recomputed = Chain(copy.deepcopy(layers), recompute=True).double()
    results = []
    for chain in (plain, recomputed):
        value = x.clone().requires_grad_()
        out, log_det = getattr(chain, direction)(value)
        (out.square().mean() + log_det.mean()).backward()
        results.append((out, log_det, value.grad, *(p.grad for p in chain.parameters())))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    for (name, one), other in zip(plain.named_buffers(), recomputed.buffers(), strict=True):
        assert torch.equal(one, other), name
    moved = [b for name, b in recomputed.named_buffers() if name.endswith("running_mean")]
    assert all(buffer.abs().sum() > 0 for buffer in moved)
