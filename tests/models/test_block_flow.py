"""Students over blocks are affine flows: each site has a location and a scale of its own."""

from __future__ import annotations

import pytest
import torch
from torch.autograd.functional import jacobian

from distill.bijectors import Autoregressive, RationalQuadraticSpline
from distill.contract import DataSpec, FeatureSpec
from distill.distributions import MixtureOfLogistics, MuLaw
from distill.models import AutoregressiveDensity, Flow, wavenet, wavenet_iaf
from distill.networks import HarmonicEncoder, WaveNet

HOP, FRAMES = 8, 5
VOICED = DataSpec(
    sites=None,
    scale=(0.2,),
    sample_rate=800,
    hop=HOP,
    features={"f0": FeatureSpec("frames", 2), "phase": FeatureSpec("frames", 2)},
    settings={"pitch": {"low": 40.0}},
)


def encoder(spec: DataSpec) -> HarmonicEncoder:
    return HarmonicEncoder(spec, harmonics=2, voices=1, mode="repeat")


def randomized(model):
    """Random weights, small enough that two flows in turn stay near unit scale."""
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def student(block: int, taps: int = 3) -> Flow:
    sizes = {"kernel": 2, "channels": 6, "block": block, "pitch_taps": taps, "last_scale": 0.3}
    return randomized(wavenet_iaf(VOICED, [2, 1], 2, encoder=encoder, **sizes))


def features(batch: int = 1) -> dict[str, torch.Tensor]:
    """Return frames at 100 Hz and 300 Hz, of which the third is not voiced."""
    hertz = torch.tensor([100.0, 100, 100, 300, 300]).double()
    voiced = torch.tensor([1.0, 1, 0, 1, 1]).double()
    f0 = torch.stack([hertz.log(), voiced], 1)
    phase = torch.tensor([1.0, 0.0]).double() * voiced[:, None]
    return {"f0": f0.repeat(batch, 1, 1), "phase": phase.repeat(batch, 1, 1)}


@pytest.fixture(params=[1, 2, 4, 8], name="flow")
def _flow(request) -> Flow:
    return student(request.param)


def test_the_encoder_gives_the_lags_that_the_taps_read(flow):
    context = flow.context(features())
    assert context.lag.unique().tolist() == pytest.approx([0.0, 800 / 300, 8.0])
    assert flow.bijector.layers[0].conditioner.longest_lag == 20  # 800 Hz / 40 Hz


def test_loc_and_log_scale_are_those_of_the_jacobian(flow):
    given, noise = features(), flow.noise(1, sites=HOP * FRAMES, seed=0)
    assert flow.locatable
    draw = flow.draw(noise, given)
    jac = jacobian(lambda u: flow.draw(u, given).x[0], noise)[:, 0]
    assert torch.equal(jac.triu(1), torch.zeros_like(jac))
    torch.testing.assert_close(jac.diagonal().log(), draw.log_scale[0], rtol=0, atol=1e-10)
    torch.testing.assert_close(draw.log_det, draw.log_scale)
    # Without its own noise a site lies at its location, given the noise before it.
    for site in range(0, HOP * FRAMES, 3):
        without = noise.clone()
        without[:, site] = 0
        loc = flow.draw(without, given).x[:, site]
        torch.testing.assert_close(draw.loc[:, site], loc, rtol=0, atol=1e-10)


def test_loc_and_log_scale_see_earlier_noise_only(flow):
    given, noise = features(), flow.noise(1, sites=HOP * FRAMES, seed=0)
    for read in ("loc", "log_scale"):
        jac = jacobian(lambda u, read=read: getattr(flow.draw(u, given), read)[0], noise)[:, 0]
        assert jac.triu().abs().max() < 1e-12, read
        assert jac.tril(-1).abs().max() > 1e-4, read


@pytest.mark.parametrize("gradients", [True, False])
def test_log_prob_of_own_samples_equals_inverse(flow, gradients):
    given, noise = features(2), flow.noise(2, sites=HOP * FRAMES, seed=0)
    with torch.set_grad_enabled(gradients):
        draw = flow.draw(noise, given)
        again = flow.log_prob(draw.x, given)
    torch.testing.assert_close(draw.log_prob, again, rtol=0, atol=1e-8)


def test_blocks_are_not_independent_inside():
    flow, given = student(4), features()
    noise = flow.noise(1, sites=HOP * FRAMES, seed=0)
    jac = jacobian(lambda u: flow.draw(u, given).x[0], noise)[:, 0]
    inside = [jac[n : n + 4, n : n + 4].tril(-1) for n in range(0, HOP * FRAMES, 4)]
    assert min(part.abs().max() for part in inside) > 1e-3


def test_splines_over_blocks_are_not_locatable():
    net = WaveNet(11, 2, channels=4, block=2, locations=RationalQuadraticSpline.locations)
    assert net.inner.coefficients == 0
    assert not Flow(Autoregressive(net, RationalQuadraticSpline(bins=4)), DataSpec(None)).locatable


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("head", [MixtureOfLogistics, MuLaw])
def test_a_teacher_over_blocks_samples_what_it_scores(head, block):
    sizes = {"layers": 2, "channels": 6, "block": block, "pitch_taps": 3, "pitch_periods": 2}
    teacher = randomized(wavenet(VOICED, head, encoder, **sizes))
    assert isinstance(teacher, AutoregressiveDensity)
    x = teacher.sample(2, features(2), sites=HOP * FRAMES, seed=0)
    noise = teacher.head.noise((2, HOP * FRAMES), torch.Generator().manual_seed(0), None, x.dtype)
    z = x if teacher.units is None else teacher.units.inverse(x)[0]
    raw = teacher.conditioner(z, teacher.context(features(2)))
    torch.testing.assert_close(teacher.head.sample_from(raw, noise), z, rtol=0, atol=1e-10)
    assert (teacher.conditioner.inner.coefficients > 0) == (block > 1 and head is not MuLaw)


@pytest.mark.parametrize("build", [wavenet, wavenet_iaf])
def test_pitch_taps_without_a_sample_rate_are_refused(build):
    with pytest.raises(ValueError, match="pitch_taps: wanted data with a sample rate"):
        build(DataSpec(None), pitch_taps=3)
