import math

import pytest
import torch
from scipy.stats import kstest
from torch import distributions as td

from distill.distributions import (
    Conditional,
    GaussianHead,
    LogisticHead,
    MixtureOfGaussians,
    MixtureOfLogistics,
    MuLaw,
)

CASES = {
    "gaussian": lambda: GaussianHead(log_scale=-1.0),
    "logistic": lambda: LogisticHead(log_scale=-1.0),
    "mixture of gaussians": lambda: MixtureOfGaussians(3),
    "mixture of logistics": lambda: MixtureOfLogistics(3),
    "one component": lambda: MixtureOfLogistics(1),
}


@pytest.fixture(params=CASES)
def head(request):
    return CASES[request.param]().double()


def raw_of(head, *shape):
    return torch.randn(*shape, head.parameters_per_site, dtype=torch.float64)


def grid(reach, steps):
    return torch.linspace(-reach, reach, steps, dtype=torch.float64)


def test_density_integrates_to_one(head):
    torch.manual_seed(0)
    x = grid(400, 400_001)
    for raw in raw_of(head, 3):
        total = torch.trapezoid(head.log_prob(x, raw.expand(len(x), -1)).exp(), x)
        assert abs(total - 1) < 1e-6


def test_samples_follow_the_density(head):
    torch.manual_seed(1)
    raw, x = raw_of(head), grid(200, 400_001)
    density = head.log_prob(x, raw.expand(len(x), -1)).exp()
    cdf = torch.cat([torch.zeros(1), torch.cumulative_trapezoid(density, x)]).double()
    samples = head.sample(raw.expand(4000, -1), torch.Generator().manual_seed(2)).detach()

    def reached(values):
        at = torch.as_tensor(values).contiguous()
        return cdf[torch.searchsorted(x, at).clamp_max(len(x) - 1)].detach().numpy()

    assert kstest(samples.numpy(), reached).pvalue > 0.01


def test_gaussian_heads_agree_with_torch_distributions():
    torch.manual_seed(0)
    x, raw = torch.randn(50, dtype=torch.float64), torch.randn(50, 9, dtype=torch.float64)
    single = GaussianHead().double()
    normal = td.Normal(raw[:, 0], raw[:, 1].exp())
    torch.testing.assert_close(single.log_prob(x, raw[:, :2]), normal.log_prob(x))
    mixture = MixtureOfGaussians(3, spread=1.5).double()
    loc = raw[:, 3:6] + torch.tensor([-1.5, 0.0, 1.5], dtype=torch.float64)
    reference = td.MixtureSameFamily(
        td.Categorical(logits=raw[:, :3]), td.Normal(loc, raw[:, 6:].exp())
    )
    torch.testing.assert_close(mixture.log_prob(x, raw), reference.log_prob(x))


def test_temperature_zero_gives_the_location():
    head, raw = GaussianHead(), torch.randn(5, 2)
    assert torch.equal(head.sample(raw, temperature=0.0), raw[:, 0])


def test_redraws_broadcast_against_the_same_parameters(head):
    raw, x = raw_of(head, 2, 5), torch.randn(7, 2, 5, dtype=torch.float64)
    together = head.log_prob(x, raw)
    one_by_one = torch.stack([head.log_prob(each, raw) for each in x])
    torch.testing.assert_close(together, one_by_one, atol=1e-12, rtol=0)


def test_log_scales_are_clipped_in_the_likelihood_and_shown_unclipped():
    raw = torch.tensor([[0.0, -12.0], [0.0, -3.0]])
    conditional = Conditional(GaussianHead(min_log_scale=-9.0), raw)
    assert conditional.log_scale.tolist() == [-9.0, -3.0]
    assert conditional.unclipped_log_scale.tolist() == [-12.0, -3.0]
    peak = conditional.log_prob(torch.zeros(2))[0].item()
    assert peak == pytest.approx(9 - 0.5 * math.log(2 * math.pi))


def test_a_mixture_has_no_location_and_says_so():
    with pytest.raises(ValueError, match="MixtureOfLogistics has no single location"):
        _ = Conditional(MixtureOfLogistics(2), torch.zeros(1, 6)).loc


@pytest.mark.parametrize("bins", [2, 16, 65_536])
def test_masses_of_all_levels_sum_to_one(bins):
    torch.manual_seed(0)
    head = MixtureOfLogistics(3, bins=bins, log_scale=-3.0).double()
    levels, raw = grid(1, bins), raw_of(head)
    mass = head.log_prob(levels, raw.expand(bins, -1)) + math.log(2 / (bins - 1))
    assert abs(mass.exp().sum() - 1) < 1e-9


def test_fine_levels_approach_the_continuous_density():
    torch.manual_seed(0)
    continuous, fine = MixtureOfLogistics(3).double(), MixtureOfLogistics(3, bins=65_536).double()
    x, raw = grid(0.9, 31), raw_of(fine, 31)
    torch.testing.assert_close(
        fine.log_prob(x, raw), continuous.log_prob(x, raw), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("bins", [0, 65_536])
def test_far_samples_are_scored_in_float32_as_in_float64_with_the_right_gradient(bins):
    # One component at 0 with scale e^-7, x out to a thousand scales on both sides;
    # the bound lies below, since what a clamp's gradient is at its bound differs between torches.
    head = MixtureOfLogistics(1, bins=bins, min_log_scale=-8.0)
    x = torch.tensor([0.0, 1e-4, 0.01, -0.1, 0.5, -0.9, 0.912], requires_grad=True)
    raw = torch.tensor([0.0, 0.0, -7.0]).expand(7, 3).clone().requires_grad_()
    value = head.log_prob(x, raw)
    value.sum().backward()
    wide, wide_raw = x.detach().double().requires_grad_(), raw.detach().double().requires_grad_()
    z = wide / wide_raw[:, 2].exp()
    exact = -z - wide_raw[:, 2] - 2 * torch.nn.functional.softplus(-z)
    if bins:
        half = torch.exp(-wide_raw[:, 2]) / (bins - 1)
        top, low = z.abs() + half, z.abs() - half
        # sigma(top) - sigma(low) = sigma(-low) - sigma(-top), written without cancellation.
        exact = (
            torch.log(torch.exp(2 * half) - 1)
            - top
            - torch.log1p(torch.exp(-low))
            - torch.log1p(torch.exp(-top))
            - math.log(2 / (bins - 1))
        )
    exact.sum().backward()
    torch.testing.assert_close(value.double(), exact, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(x.grad.double(), wide.grad, atol=0.05, rtol=1e-3)
    torch.testing.assert_close(raw.grad[:, 2].double(), wide_raw.grad[:, 2], atol=1e-3, rtol=1e-3)
    assert (x.grad[3:].abs() > 1000).all()


def test_edges_take_the_tails_with_finite_gradients():
    head = MixtureOfLogistics(1, bins=256).double()
    raw = torch.tensor([[0.0, 30.0, -2.0], [0.0, -30.0, -2.0]], dtype=torch.float64)
    raw.requires_grad_()
    x = torch.tensor([1.0, -1.0], dtype=torch.float64)
    mass = head.log_prob(x, raw) + math.log(2 / 255)
    assert mass.abs().max() < 1e-6  # all of it lies beyond the edge
    mass.sum().backward()
    assert torch.isfinite(raw.grad).all()


def test_discretized_samples_stay_in_range():
    head = MixtureOfLogistics(2, bins=16)
    samples = head.sample(torch.randn(1000, 6), torch.Generator().manual_seed(0))
    assert samples.abs().max() == 1.0


def test_mu_law_levels_round_trip_and_are_finer_near_zero():
    head = MuLaw(256)
    assert torch.equal(head.level(head.table), torch.arange(256))
    steps = head.table.diff()
    assert steps[127] < steps[0] / 50
    x = torch.linspace(-1, 1, 1001)
    nearest = head.table[head.level(x)]
    assert (nearest - x).abs().max() <= steps.max() * 0.6


def test_mu_law_is_a_distribution_over_levels_without_gradient_in_x():
    torch.manual_seed(0)
    head, raw = MuLaw(32), torch.randn(32)
    assert abs(head.log_prob(head.table, raw.expand(32, -1)).exp().sum() - 1) < 1e-5
    assert not head.differentiable
    x = torch.zeros(3, requires_grad=True)
    weights = raw.expand(3, -1).clone().requires_grad_()
    head.log_prob(x, weights).sum().backward()
    assert x.grad is None
    assert weights.grad.abs().sum() > 0


def test_mu_law_samples_have_the_levels_probabilities():
    torch.manual_seed(0)
    head, raw = MuLaw(8), torch.randn(8)
    samples = head.sample(raw.expand(20_000, -1), torch.Generator().manual_seed(0))
    share = torch.bincount(head.level(samples), minlength=8) / 20_000
    torch.testing.assert_close(share, raw.softmax(0), atol=0.02, rtol=0)


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="components: wanted a whole number of 1 or more, got 0"):
        MixtureOfGaussians(0)
    with pytest.raises(ValueError, match=r"bins: wanted .* 2 or more, got 1\. 0 is for none"):
        MixtureOfLogistics(2, bins=1)
    with pytest.raises(ValueError, match="bins: wanted a whole number of 2 or more, got 1"):
        MuLaw(1)


def test_a_head_of_levels_starts_at_the_scale_of_the_data():
    # As many levels in the data's spread.
    plain, scaled = MixtureOfLogistics(bins=2**12 + 1), MixtureOfLogistics(bins=2**16 + 1)
    scaled.start_at(2**-4)
    x = torch.randn(7).clamp(-0.9, 0.9)
    raw = torch.zeros(7, plain.parameters_per_site)
    wanted = plain.log_prob(x, raw) + 4 * math.log(2)
    assert torch.allclose(scaled.log_prob(2**-4 * x, raw), wanted, atol=1e-4)
    raw[:, 20:] = -30.0  # at the clip
    wanted = plain.log_prob(x, raw) + 4 * math.log(2)
    assert torch.allclose(scaled.log_prob(2**-4 * x, raw), wanted, atol=1e-3)


@pytest.mark.parametrize("head", [GaussianHead, LogisticHead, MixtureOfGaussians, MuLaw])
def test_a_bounded_head_is_never_sharper_and_shares_its_parameters(head):
    plain = head()
    bounded = plain.bounded(-3.0)
    assert [id(p) for p in bounded.parameters()] == [id(p) for p in plain.parameters()]
    assert plain.bounded(-30.0) is plain
    if head is MuLaw:
        assert bounded is plain
        return
    raw = torch.full((1, plain.parameters_per_site), -20.0)
    at, far = (h.sample_from(raw, torch.ones(1, plain.noise_per_site)) for h in (plain, bounded))
    loc = plain.sample_from(raw, torch.ones(1, plain.noise_per_site), temperature=0.0)
    assert (far - loc).item() == pytest.approx(math.exp(-3), rel=1e-4)
    assert (at - loc).abs().item() < 1e-2
    assert plain.min_log_scale < -3


def test_what_is_no_number_has_no_level_to_be_scored():
    scores = MuLaw(8).log_prob(torch.tensor([0.0, math.nan, math.inf]), torch.zeros(3, 8))
    assert scores.isnan().tolist() == [False, True, False]
