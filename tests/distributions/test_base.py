"""Bases against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from distill.distributions import Logistic, Normal

CASES = {"normal": (Normal(), stats.norm()), "logistic": (Logistic(), stats.logistic())}


@pytest.mark.parametrize(("base", "reference"), CASES.values(), ids=CASES)
def test_log_prob_is_scipys(base, reference):
    u = np.linspace(-40, 40, 801)
    np.testing.assert_allclose(base.log_prob(torch.from_numpy(u)), reference.logpdf(u), atol=1e-11)


@pytest.mark.parametrize(("base", "reference"), CASES.values(), ids=CASES)
def test_density_integrates_to_one_and_entropy_is_its_integral(base, reference):
    def density(u):
        return base.log_prob(torch.tensor(u, dtype=torch.float64)).exp().item()

    total = integrate.quad(density, -60, 60, points=[0])[0]
    entropy = integrate.quad(
        lambda u: -density(u) * np.log(density(u) + 1e-300), -60, 60, points=[0]
    )[0]
    assert total == pytest.approx(1, abs=1e-7)
    assert base.entropy == pytest.approx(entropy, abs=1e-6)
    assert base.entropy == pytest.approx(float(reference.entropy()), abs=1e-12)


@pytest.mark.parametrize(("base", "reference"), CASES.values(), ids=CASES)
def test_samples_follow_the_density(base, reference):
    u = base.sample((20_000, 2), torch.Generator().manual_seed(0))
    assert u.shape == (20_000, 2)
    assert stats.kstest(u.flatten().numpy(), reference.cdf).pvalue > 1e-3


@pytest.mark.parametrize("base", [Normal(), Logistic()])
def test_a_generator_makes_samples_reproducible(base):
    first, again, other = (
        base.sample((5, 3), torch.Generator().manual_seed(seed), dtype=torch.float64)
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logistic_noise_is_finite_at_both_ends(dtype, monkeypatch):
    ends = torch.tensor([[0.0, 1 - torch.finfo(dtype).eps / 2]], dtype=dtype)
    monkeypatch.setattr(torch, "rand", lambda *args, **kwargs: ends)
    assert Logistic().sample((1, 2), dtype=dtype).isfinite().all()


def test_logistic_has_a_gradient_far_out():
    u = torch.tensor([-1000.0, 0.0, 1000.0], requires_grad=True)
    Logistic().log_prob(u).sum().backward()
    torch.testing.assert_close(u.grad, torch.tensor([1.0, 0.0, -1.0]))
