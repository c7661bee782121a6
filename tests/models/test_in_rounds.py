"""Sampling by rounds gives the samples of site after site."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from distill import Jacobi
from distill.bijectors import Affine, Autoregressive, RationalQuadraticSpline
from distill.bijectors.fixed_point import solve
from distill.contract import Context, DataSpec, Features, FeatureSpec, Prediction
from distill.data.audio import Tones
from distill.distributions import LogisticHead, MixtureOfLogistics, MuLaw
from distill.models import Density, iaf, maf, wavenet, whitening
from distill.networks import MADE, HarmonicEncoder, WaveNet
from tests.networks.wavenets import CASES as WAVENETS
from tests.networks.wavenets import part_of
from tests.randomized import randomized

SITES = 24
VECTORS = DataSpec(sites=SITES, features={"color": FeatureSpec("vector", 2)})
SIGNALS = DataSpec(sites=None)
MIXED = [*range(0, SITES, 2), *range(1, SITES, 2)]
SMALL = {"layers": 4, "channels": 6}

MODELS: dict[str, Callable[[], Density]] = {
    "maf": lambda: maf(VECTORS, 3, [16]),
    "maf of splines": lambda: maf(VECTORS, 2, [16], RationalQuadraticSpline),
    "maf with a mixture": lambda: maf(VECTORS, 2, [16], mixture=3),
    "maf with norms and a permutation": lambda: maf(VECTORS, 2, [16], between=MIXED, norm="batch"),
    "wavenet": lambda: wavenet(SIGNALS, **SMALL),
    "wavenet of blocks": lambda: wavenet(SIGNALS, **SMALL, block=4),
    "logistics": lambda: wavenet(SIGNALS, LogisticHead, **SMALL, block=2),
    "mixture": lambda: wavenet(SIGNALS, partial(MixtureOfLogistics, 3), **SMALL, block=4),
    "quantized mixture": lambda: wavenet(SIGNALS, partial(MixtureOfLogistics, 3, 99), **SMALL),
    "mu-law": lambda: wavenet(SIGNALS, MuLaw, **SMALL),
}
FEATURES = {"color": torch.randn(3, 2, dtype=torch.float64)}


@pytest.fixture(params=MODELS, scope="module")
def model(request: pytest.FixtureRequest) -> Density:
    torch.manual_seed(0)
    return randomized(MODELS[request.param]().double().eval())


def _features(model: Density) -> Features:
    return FEATURES if model.spec.features else None


@pytest.mark.parametrize("window", [None, 5, 8, SITES, 1000])
def test_at_tolerance_zero_it_equals_the_sequential_sampler(model, window):
    features = _features(model)
    exact = model.sample(3, features, sites=SITES, seed=1, temperature=0.7)
    rounds = model.sample_in_rounds(
        3, features, sites=SITES, seed=1, temperature=0.7, jacobi=Jacobi(0.0, window)
    )
    assert exact.std() > 0.01
    assert (rounds.x - exact).abs().max() < 1e-10
    assert rounds.converged
    assert rounds.error == 0
    for layer in rounds.layers:
        assert all(done <= most for done, most in zip(layer.rounds, layer.most, strict=True))
        assert len(layer.rounds) == 1 or window in (5, 8)


def test_a_tolerance_saves_rounds_at_an_error_of_about_the_estimate(model):
    features = _features(model)
    exact = model.sample(3, features, sites=SITES, seed=1)
    given = {"sites": SITES, "seed": 1}
    whole = model.sample_in_rounds(3, features, jacobi=Jacobi(0.0), **given)
    early = model.sample_in_rounds(3, features, jacobi=Jacobi(1e-3), **given)
    assert early.converged
    assert early.taken <= whole.taken
    assert (early.x - exact).abs().max() <= 30 * early.error + 1e-10
    assert early.error < 1e-2
    assert torch.equal(model.sample(3, features, jacobi=Jacobi(1e-3), **given), early.x)


def test_a_maf_needs_far_fewer_rounds_than_sites():
    torch.manual_seed(0)
    model = randomized(maf(DataSpec(sites=100), 2, [32]).double().eval(), 0.05)
    rounds = model.sample_in_rounds(2, seed=0, jacobi=Jacobi(1e-6))
    assert rounds.steps == 200
    assert 4 < rounds.taken < 60
    assert (rounds.x - model.sample(2, seed=0)).abs().max() < 1e-5


@pytest.mark.parametrize("block", [1, 4])
def test_a_whitened_teacher_with_pitch_taps_is_sampled_in_windows(block):
    data = Tones(count=3, seconds=0.3, conditions=["mel", "f0", "phase"], crop=512)
    encoder = partial(HarmonicEncoder, mode="repeat", channels=4, layers=1)
    teacher = wavenet(
        data.spec,
        encoder=encoder,
        **SMALL,
        block=block,
        pitch_taps=3,
        pitch_periods=2,
        outer=partial(whitening, order=8),
    )
    model, batch = randomized(teacher.double().eval(), 0.05), data.train_batch(0, 2, 0)
    features = {name: value.double() for name, value in batch.features.items()}
    exact = model.sample(2, features, sites=512, seed=3)
    rounds = model.sample_in_rounds(2, features, sites=512, seed=3, jacobi=Jacobi(1e-9, 100))
    (layer,) = rounds.layers
    assert layer.most == (128 // block,) * 4  # windows of two whole frames
    assert max(layer.rounds) < 100
    assert (rounds.x - exact).abs().max() < 1e-7 * exact.abs().max()


@pytest.mark.parametrize(
    "name", [k for k, case in WAVENETS.items() if "parameters_per_site" not in case.settings]
)
def test_every_kind_of_wavenet_is_exact_after_as_many_rounds_as_blocks(name):
    case = WAVENETS[name]
    net, (x, context) = case.net(), case.inputs()
    layer = Autoregressive(net, Affine())
    with torch.no_grad():
        net.last.weight.mul_(0.2)  # else inverses grow without end
        net.last.bias.mul_(0.2)
        u = layer.inverse(x, context)[0]
    for window in (None, case.unit, 3 * case.unit):
        v, (solution,) = layer.inverse_in_rounds(x, context, Jacobi(0.0, window))
        assert (v - u).abs().max() < 1e-10 * u.abs().max().clamp_min(1)
        assert sum(solution.most) == -(-x.shape[1] // net.block)
        assert solution.converged


def test_an_iaf_takes_no_rounds():
    student = iaf(DataSpec(sites=4), 2, [8])
    rounds = student.sample_in_rounds(5, seed=0, jacobi=Jacobi())
    assert rounds.layers == ()
    assert str(rounds) == "0 rounds for 0 steps, exact"
    assert torch.equal(rounds.x, student.sample(5, seed=0))


def test_its_inverse_can_be_taken_by_rounds():
    torch.manual_seed(0)
    student = randomized(iaf(DataSpec(sites=9), 2, [8], norm="batch").double().eval())
    x = student.sample(5, seed=0)
    with torch.no_grad():
        u = student.bijector.inverse(x)[0]
    v, solutions = student.bijector.inverse_in_rounds(x, None, Jacobi(0.0))
    assert len(solutions) == 2
    assert (u - v).abs().max() < 1e-10


def test_rounds_that_are_not_enough_are_said():
    torch.manual_seed(0)
    model = randomized(maf(DataSpec(sites=30), 2, [16]).double().eval(), 0.3)
    jacobi = Jacobi(tolerance=1e-9, window=10, rounds=2)
    rounds = model.sample_in_rounds(2, seed=0, jacobi=jacobi)
    assert not rounds.converged
    assert rounds.taken == 12
    assert "not converged: layer 1 of 2, window 1 of 3 still moved by" in str(rounds)
    with pytest.raises(ValueError, match=r"window 1 of 3 still moved by .* in round 2. Allow more"):
        model.sample(2, seed=0, jacobi=jacobi)


def test_values_that_overflow_on_the_way_are_found_all_the_same():
    # With scales that have no bound, guesses far off give infinite ones, and in a masked network
    # 0 times infinity would reach the sites before.
    torch.manual_seed(0)
    layer = randomized(Autoregressive(MADE(SITES, [16]), Affine(bound=None)).double(), 0.3)
    with torch.no_grad():
        u = torch.randn(4, SITES, dtype=torch.float64)
        x = layer(u)[0]
        guess = torch.full_like(x, 1e6)
        assert not layer.transform.inverse(x, layer.conditioner(guess))[0].isfinite().all()

        def update(raw, sites):
            return layer.transform.inverse(x[:, sites], raw)[0]

        solution = solve(layer.conditioner.sweep(update, x), guess, Jacobi(0.0))
        want = layer.inverse(x)[0]
    assert solution.converged
    torch.testing.assert_close(solution.x, want)


@pytest.mark.parametrize("window", [None, 4])
def test_a_value_that_is_not_finite_is_said(window):
    torch.manual_seed(0)
    model = randomized(wavenet(SIGNALS, **SMALL).double().eval())
    with torch.no_grad():
        model.conditioner.last.bias[0] = torch.nan
    where = "window 1 of 3" if window else "window 1 of 1"
    with pytest.raises(ValueError, match=rf"site 0 in {where} is not finite after .* rounds; the"):
        model.sample(1, sites=12, seed=0, jacobi=Jacobi(window=window))


@pytest.mark.parametrize(
    "wrong", [{"tolerance": -1.0}, {"tolerance": torch.nan}, {"window": 0}, {"rounds": 1.5}]
)
def test_numbers_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"jacobi.{next(iter(wrong))}"):
        Jacobi(**wrong)


@pytest.mark.parametrize("name", ["blocks of 4, all of it", "rows of 6 sites, source"])
def test_a_context_can_be_cut_into_windows(name):
    _, context = WAVENETS[name].inputs()
    unit = WAVENETS[name].unit
    mine, wanted = context.part(unit, 3 * unit), part_of(context, unit, 3 * unit)
    assert torch.equal(mine.rows, wanted.rows)
    assert torch.equal(mine.source, wanted.source)


def test_a_context_that_filters_is_cut_by_frames():
    lines = Prediction(torch.randn(2, 5, 3), torch.randn(2, 5), hop=4)
    part = Context(torch.randn(2, 7), prediction=lines, lag=torch.arange(20.0)[None]).part(4, 16)
    assert part.rows.shape == (2, 7)  # one row for all sites
    assert part.lag.tolist() == [list(range(4, 16))]
    assert torch.equal(part.prediction.coefficients, lines.coefficients[:, 1:4])
    assert torch.equal(part.prediction.log_gain, lines.log_gain[:, 1:4])


def test_a_wavenet_runs_each_window_alone(monkeypatch):
    lengths = []
    run_blocks = WaveNet.run_blocks

    def counted(net, state, x, read):
        lengths.append(x.shape[1])
        return run_blocks(net, state, x, read)

    monkeypatch.setattr(WaveNet, "run_blocks", counted)
    torch.manual_seed(0)
    model = randomized(wavenet(SIGNALS, **SMALL).double().eval())
    model.sample(1, sites=20, seed=0, jacobi=Jacobi(0.0, window=5))
    assert set(lengths) == {5}
    assert len(lengths) <= 24
