"""Orthogonalized momentum for matrices, Adam for the rest."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import distill
from distill.training import Muon
from distill.training.muon import orthogonal


def stepped(
    make: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    params: list[nn.Parameter],
    gradients: list[list[Tensor]],
) -> torch.optim.Optimizer:
    optimizer = make(params)
    for step in gradients:
        for p, gradient in zip(params, step, strict=True):
            p.grad = gradient.clone()
        optimizer.step()
    return optimizer


def params(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in shapes]


def gradients_of(given: list[nn.Parameter], steps: int) -> list[list[Tensor]]:
    torch.manual_seed(1)
    return [[torch.randn_like(p) for p in given] for _ in range(steps)]


@pytest.mark.parametrize("shape", [(3, 20, 20), (2, 16, 50), (1, 50, 16)])
def test_orthogonal_keeps_the_singular_vectors_and_levels_the_values(shape: tuple[int]) -> None:
    torch.manual_seed(0)
    given = torch.randn(shape, dtype=torch.float64)
    u, s, vt = torch.linalg.svd(given, full_matrices=False)
    inner = u.mT @ orthogonal(given) @ vt.mT
    diagonal = inner.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(inner, torch.diag_embed(diagonal), rtol=0, atol=1e-9)
    wanted = s / torch.linalg.matrix_norm(given)[:, None]
    for _ in range(3):
        wanted = 3.4445 * wanted - 4.7750 * wanted**3 + 2.0315 * wanted**5
    torch.testing.assert_close(diagonal, wanted, rtol=1e-5, atol=1e-5)
    assert bool((diagonal[:, : s.shape[1] // 2] > 0.6).all())
    assert bool((diagonal < 1.25).all())
    wide = given.mT.contiguous()
    torch.testing.assert_close(orthogonal(wide), orthogonal(given).mT)


def test_a_zero_gradient_moves_nothing() -> None:
    (weight,) = params((16, 16))
    before = weight.detach().clone()
    stepped(Muon, [weight], [[torch.zeros_like(weight)]])
    assert torch.equal(weight, before)


def test_matrices_go_by_momentum_one_by_one_as_all_at_once() -> None:
    given = params((16, 40), (16, 40), (40, 16), (20, 4, 5))
    plain, momenta = [p.detach().clone() for p in given], [torch.zeros_like(p) for p in given]
    gradients = gradients_of(given, 3)
    stepped(lambda own: Muon(own, lr=0.1, momentum=0.9, scale=0.3), given, gradients)
    for step in gradients:
        for p, m, g in zip(plain, momenta, step, strict=True):
            m.mul_(0.9).add_(g)
            flat = (g + 0.9 * m).flatten(1)
            p -= 0.1 * 0.3 * max(flat.shape) ** 0.5 * orthogonal(flat[None])[0].view_as(p)
    torch.testing.assert_close([p.detach() for p in given], plain)


def test_what_is_no_matrix_goes_by_adam() -> None:
    shapes = (7,), (15, 40), (40, 15), (16, 3, 5)
    own, other = params(*shapes, (16, 16)), params(*shapes, (16, 16))
    gradients = gradients_of(own, 4)
    stepped(lambda given: Muon(given, lr=0.01, betas=(0.8, 0.95)), own, gradients)
    stepped(lambda given: torch.optim.Adam(given, 0.01, (0.8, 0.95)), other, gradients)
    torch.testing.assert_close(own[:4], other[:4])
    assert not torch.allclose(own[4], other[4])


def test_the_rate_of_a_step_is_that_of_the_groups() -> None:
    given = params((16, 16), (5,))
    optimizer = stepped(lambda own: Muon(own, lr=0.0), given, gradients_of(given, 1))
    assert all(torch.equal(p, q) for p, q in zip(given, params((16, 16), (5,)), strict=True))
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    optimizer.step()
    assert not any(torch.equal(p, q) for p, q in zip(given, params((16, 16), (5,)), strict=True))


def test_a_state_goes_on_where_it_was_saved() -> None:
    given, gradients = (
        params((16, 20), (5,), (3, 3)),
        gradients_of(params((16, 20), (5,), (3, 3)), 6),
    )
    whole = copy.deepcopy(given)
    stepped(lambda own: Muon(own, lr=0.05), whole, gradients)
    first = stepped(lambda own: Muon(own, lr=0.05), given, gradients[:3])
    saved = copy.deepcopy(first.state_dict())

    def resumed(own: list[nn.Parameter]) -> Muon:
        optimizer = Muon(own, lr=0.05)
        optimizer.load_state_dict(saved)
        return optimizer

    stepped(resumed, given, gradients[3:])
    torch.testing.assert_close(given, whole, rtol=0, atol=0)


def test_weights_without_a_gradient_stay() -> None:
    given = params((16, 16), (16, 16), (5,))
    before = given[1].detach().clone()
    given[0].grad = torch.randn_like(given[0])
    Muon(given).step()
    assert torch.equal(given[1], before)


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"momentum": 1.0}, {"scale": 0.0}])
def test_numbers_out_of_range_are_refused_by_name(wrong: dict) -> None:
    with pytest.raises(ValueError, match=f"Muon: {next(iter(wrong))}"):
        Muon(params((16, 16)), **wrong)


def test_a_masked_network_stays_autoregressive() -> None:
    """Its step has no zeros where the mask has some."""
    data = distill.as_data(torch.randn(100, 4, generator=torch.Generator().manual_seed(0)))
    model = distill.maf(data.spec, layers=1, hidden=[24, 24])
    distill.fit(model, data, optimizer=Muon, steps=3, batch_size=16)
    x = torch.randn(4, requires_grad=True)

    def noise(value: Tensor) -> Tensor:
        return model.bijector.inverse(value[None])[0][0]

    jacobian = torch.autograd.functional.jacobian(noise, x)
    log_det = model.bijector.inverse(x[None])[1].sum()
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det)
    upper = torch.triu(jacobian, 1), torch.tril(jacobian, -1)
    assert min(float(part.abs().max()) for part in upper) == 0
