"""The whitening bijector: exact both ways, differentiable, the same in chunks as in one pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from distill.bijectors import Chain, LinearPrediction, Standardize
from distill.bijectors.all_pole import filter_by_kernel, filter_by_sites
from distill.contract import Context, Prediction
from distill.kernels import synthesis
from distill.networks.levinson import levinson

ORDER, HOP = 4, 5


def stable(batch: int, frames: int, order: int = ORDER, seed: int = 0) -> torch.Tensor:
    """Random predictors whose reflection coefficients lie inside the unit circle."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, frames, order)
    reflections = 1.8 * torch.rand(shape, generator=generator, dtype=torch.float64) - 0.9
    a = reflections[..., :0]
    for i in range(order):
        k = reflections[..., i : i + 1]
        a = torch.cat([a - k * a.flip(-1), k], -1)
    return a


def given(batch: int = 2, frames: int = 3, order: int = ORDER, seed: int = 0, hop: int = HOP):
    generator = torch.Generator().manual_seed(seed + 1)
    log_gain = torch.randn(batch, frames, generator=generator, dtype=torch.float64)
    return Context(prediction=Prediction(stable(batch, frames, order, seed), log_gain, hop))


def noise(batch: int = 2, sites: int = 3 * HOP, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, sites, dtype=torch.float64, generator=generator)


@pytest.fixture(params=[True, False], ids=["compiled", "plain"], name="layer")
def _layer(request) -> LinearPrediction:
    layer = LinearPrediction(ORDER)
    layer.compiled = request.param
    return layer


def close(got, wanted, atol=1e-10):
    torch.testing.assert_close(got, wanted, rtol=0, atol=atol)


def test_inverse_undoes_forward_and_forward_undoes_inverse(layer):
    u, context = noise(), given()
    x, log_det = layer(u, context)
    back, log_det_back = layer.inverse(x, context)
    close(back, u)
    close(log_det_back, -log_det)
    close(layer(layer.inverse(u, context)[0], context)[0], u)
    assert x.shape == log_det.shape == u.shape


def test_each_site_is_scaled_excitation_plus_the_prediction_from_its_past(layer):
    u, context = noise(), given()
    a, log_gain = context.prediction.coefficients, context.prediction.log_gain
    x = layer(u, context)[0]
    for t in range(u.shape[1]):
        frame = t // HOP
        wanted = u[:, t] * log_gain[:, frame].exp()
        for k in range(1, min(ORDER, t) + 1):
            wanted = wanted + a[:, frame, k - 1] * x[:, t - k]
        close(x[:, t], wanted)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_log_det_is_the_diagonal_of_a_triangular_jacobian(layer, direction):
    context = given(batch=1)
    apply = getattr(layer, direction)
    jacobian = torch.autograd.functional.jacobian(
        lambda u: apply(u[None], context)[0][0], noise(1)[0]
    )
    assert torch.equal(jacobian.triu(1), torch.zeros_like(jacobian))
    assert jacobian.tril(-1).abs().max() > 0.1
    close(apply(noise(1), context)[1][0], jacobian.diagonal().log())


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_gradients_are_those_of_finite_differences_twice(layer, direction):
    context, value = given(), noise().requires_grad_()
    apply = getattr(layer, direction)
    assert gradcheck(lambda v: apply(v, context), (value,))
    assert gradgradcheck(lambda v: apply(v, context)[0], (value,))


def test_the_filter_has_gradients_in_its_past_and_forward_mode():
    a = stable(2, 3)
    d, past = noise().requires_grad_(), noise(2, ORDER, seed=5).requires_grad_()

    def run(d, past):
        return filter_by_kernel(d, past, a, HOP)

    assert gradcheck(run, (d, past), check_forward_ad=True)
    assert gradgradcheck(run, (d, past))


def test_functional_transforms_give_the_jacobian():
    context, layer, u = given(batch=1), LinearPrediction(ORDER), noise(1)[0]

    def run(u):
        return layer(u[None], context)[0][0]

    wanted = torch.autograd.functional.jacobian(run, u)
    close(torch.func.jacrev(run)(u), wanted)
    close(torch.func.jacfwd(run)(u), wanted)
    close(torch.func.vmap(run)(noise(3)), torch.stack([run(row) for row in noise(3)]))


def test_gradients_reach_coefficients_and_gain():
    a, log_gain = stable(2, 3).requires_grad_(), noise(2, 3).requires_grad_()

    def run(apply, a, log_gain):
        return apply(noise(), Context(prediction=Prediction(a, log_gain, HOP)))

    layer = LinearPrediction(ORDER)
    for apply in (layer.forward, layer.inverse):
        assert gradcheck(lambda a, g, apply=apply: run(apply, a, g), (a, log_gain))


def test_the_gain_has_a_gradient_on_the_compiled_path():
    layer, gains = LinearPrediction(ORDER), []
    for compiled in (True, False):
        layer.compiled = compiled
        log_gain = noise(2, 3).requires_grad_()
        x, log_det = layer(noise(), Context(prediction=Prediction(stable(2, 3), log_gain, HOP)))
        (x.square().sum() + log_det.sum()).backward()
        gains.append(log_gain.grad)
    close(*gains)


@pytest.mark.parametrize("order", [1, 2, 5, 32])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_compiled_loop_equals_the_plain_steps(order, batch):
    a, d = stable(batch, 6, order), noise(batch, 6 * HOP)
    past = noise(batch, order, seed=7)
    fast, plain = (f(d, past, a, HOP) for f in (filter_by_kernel, filter_by_sites))
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50])
def test_chunks_equal_the_whole_pass(layer, chunk, dtype):
    frames = 61
    u, context = noise(2, frames * HOP).to(dtype), given(2, frames)
    whole, found = layer(u, context), context.prediction
    state, parts = layer.start(u, context), []
    for first in range(0, frames, chunk):
        some = slice(first, first + chunk)
        rows = Prediction(found.coefficients[:, some], found.log_gain[:, some], HOP)
        sites = u[:, first * HOP : (first + chunk) * HOP]
        *part, state = layer.run(state, sites, Context(prediction=rows))
        assert len(state) == layer.state_size
        assert state[0].shape == (2, ORDER)
        assert state[0].is_contiguous()
        parts.append(part)
    for part, wanted in zip(zip(*parts, strict=True), whole, strict=True):
        close(torch.cat(part, 1), wanted, 1e-10 if dtype == torch.float64 else 1e-5)
        assert part[0].dtype == dtype


def test_a_run_leaves_the_state_before_it_as_it_was():
    layer, u, context = LinearPrediction(ORDER), noise(), given()
    _, _, state = layer.run(layer.start(u, context), u, context)
    before = state[0].clone()
    layer.run(state, u, context)
    assert torch.equal(state[0], before)


def resonant(log_power: torch.Tensor, order: int, hop: int) -> tuple[Context, torch.Tensor]:
    """The context of log-power over the angles from 0 to pi, and the signal's root mean square."""
    angles = torch.linspace(0, torch.pi, log_power.shape[1], dtype=torch.float64)
    cosines = torch.cos(angles[:, None] * torch.arange(order + 1, dtype=torch.float64))
    r = log_power.exp() @ cosines / len(angles)
    r[:, 0] = r[:, 0] * (1 + 1e-4) + 1e-10
    a, error = levinson(r[None])
    return Context(prediction=Prediction(a, 0.5 * error.log(), hop)), r[:, 0].sqrt()


@pytest.mark.parametrize("kind", ["resonances", "silence", "one frame at full scale"])
def test_abrupt_frames_stay_bounded_and_come_back(kind):
    frames, hop, order = 40, 64, 24
    angles = torch.linspace(0, torch.pi, 257, dtype=torch.float64)
    number = torch.arange(frames)[:, None]
    low, high = (12 - 20 * (angles - center).abs().sqrt() for center in (0.3, 2.8))
    log_power = torch.where(number // 4 % 2 == 0, low, high)
    if kind == "silence":
        log_power = torch.where(number % 4 < 2, log_power, -30.0)
    if kind == "one frame at full scale":
        log_power = torch.where(number == 20, low, -30.0)
    context, level = resonant(log_power, order, hop)
    u = noise(1, frames * hop)
    layer = LinearPrediction(order)
    x, _ = layer(u, context)
    assert x.abs().max() < 30 * level.max()
    close(layer.inverse(x, context)[0], u, 1e-6)
    assert layer.inverse(x, context)[0].var() < 2


def test_a_clipped_signal_comes_back():
    angles = torch.linspace(0, torch.pi, 257, dtype=torch.float64)
    log_power = (2 - 8 * angles.sqrt()).expand(40, -1)
    context, _ = resonant(log_power, 24, 64)
    x = (3 * noise(1, 40 * 64)).clamp(-1, 1)
    layer = LinearPrediction(24)
    close(layer(layer.inverse(x, context)[0], context)[0], x, 1e-8)


def test_float32_comes_back_as_closely_as_it_can_be_written():
    layer, u, context = LinearPrediction(ORDER), noise().float(), given()
    x, log_det = layer(u, context)
    assert x.dtype == log_det.dtype == torch.float32
    close(layer.inverse(x, context)[0], u, 1e-4)


def test_numpy_chunks_equal_the_layer_with_numba_and_without(monkeypatch):
    context, u = given(3, 8), noise(3, 8 * HOP)
    a, gain = context.prediction.coefficients.numpy(), context.prediction.log_gain.exp().numpy()
    wanted = LinearPrediction(ORDER)(u, context)[0].numpy()
    for compiled in (True, False):
        monkeypatch.setattr(synthesis, "has_kernel", lambda compiled=compiled: compiled)
        past, parts = None, []
        for some in (slice(0, 3), slice(3, 4), slice(4, 8)):
            e = u.numpy()[:, some.start * HOP : some.stop * HOP]
            x, past = synthesis.synthesize(e, a[:, some], gain[:, some], past, threads=2)
            parts.append(x)
        np.testing.assert_allclose(np.concatenate(parts, 1), wanted, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(past, wanted[:, -ORDER:], rtol=1e-9, atol=1e-10)
    e32 = u.numpy().astype(np.float32)
    assert synthesis.synthesize(e32, a, gain)[0].dtype == np.float32


def test_in_a_chain_it_is_one_more_layer():
    chain = Chain([Standardize([0.5], [2.0]), LinearPrediction(ORDER)])
    assert chain.keeps_order
    assert chain.is_affine
    assert not list(chain.parameters())
    assert "order=4" in repr(chain)


def test_without_a_prediction_it_says_what_to_do():
    for context in (None, Context()):
        with pytest.raises(ValueError, match=r"LinearPrediction: wanted a context with prediction"):
            LinearPrediction(ORDER)(noise(), context)


@pytest.mark.parametrize("sites", [3 * HOP - 1, 2 * HOP])
def test_sites_that_are_no_whole_frames_are_refused(layer, sites):
    with pytest.raises(ValueError, match=rf"3 frames of 5 sites wanted.*15.*{sites}"):
        layer(noise(2, sites), given())


def test_another_order_or_batch_is_refused():
    with pytest.raises(ValueError, match=r"wanted coefficients \(2, 3, 6\)"):
        LinearPrediction(6)(noise(), given())
    with pytest.raises(ValueError, match=r"values \(2, 15\).*\(1, 15\)"):
        LinearPrediction(ORDER)(noise(1), given())
    with pytest.raises(ValueError, match="order: wanted a whole number of 1 or more, got 0"):
        LinearPrediction(0)


def changed(value: float, where: str = "coefficients") -> Context:
    found = given().prediction
    getattr(found, where)[1, 2] = value
    return Context(prediction=found)


@pytest.mark.parametrize("context", [changed(float("nan")), changed(float("inf"), "log_gain")])
def test_a_frame_that_is_not_finite_is_named(layer, context):
    for apply in (layer.forward, layer.inverse):
        with pytest.raises(ValueError, match=r"finite .*in frame 2 of value 1 "):
            apply(noise(), context)


def test_an_unstable_frame_is_named(layer):
    with pytest.raises(ValueError, match=r"stable .*in frame 2 of value 1 "):
        layer(noise(), changed(0.5))
