"""Spectral distances."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from auraloss.freq import MultiResolutionSTFTLoss

from distill.contract import Batch, DataSpec
from distill.data.audio import LogMel
from distill.models import Flow, wavenet, wavenet_iaf
from distill.objectives import LogMelDistance, MultiResolutionSTFT, Objective, PowerLoss

MEL = LogMel(bands=20, fft=256, window=200, hop=64, high=None)
SPEC = DataSpec(sites=None, sample_rate=8_000)


def distance(objective: Objective, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    student: Flow = wavenet_iaf(SPEC, flows=[1], channels=2)
    draw = student.draw(x)
    draw = type(draw)(x, x, x, x)
    return objective(draw, student, wavenet(SPEC, layers=1, channels=2), Batch(y), 0.0).value


CASES = {
    "magnitude, averaged": lambda: PowerLoss(128),
    "power, averaged": lambda: PowerLoss(128, form="power"),
    "log, per frame": lambda: PowerLoss(128, form="log", average=False),
    "log-mel": lambda: LogMelDistance(MEL),
    "several resolutions": lambda: MultiResolutionSTFT([64, 128]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_sound_is_nearest_to_itself(name: str) -> None:
    y = torch.sin(torch.arange(2000) * 0.2)[None].repeat(2, 1) * 0.1
    assert distance(CASES[name](), y, y).item() < 1e-5
    assert distance(CASES[name](), 0.1 * y, y).item() > 1e-4


@pytest.mark.parametrize("name", CASES)
def test_silence_gives_finite_gradients(name: str) -> None:
    x = torch.zeros(2, 2000, requires_grad=True)
    value = distance(CASES[name](), x, torch.zeros(2, 2000))
    (gradient,) = torch.autograd.grad(value, x)
    assert gradient.isfinite().all()


def test_averaging_over_time_forgets_when_it_sounded() -> None:
    y = torch.zeros(1, 4096)
    y[:, 1024:1536] = torch.sin(torch.arange(512) * 0.3)
    moved = y.roll(1024, 1)
    assert distance(PowerLoss(128), moved, y) < 0.01 * distance(
        PowerLoss(128, average=False), moved, y
    )


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="form"):
        PowerLoss(form="energy")


@pytest.mark.parametrize("form", ["magnitude", "power", "log"])
def test_a_distance_does_not_depend_on_the_scale_of_the_data(form: str) -> None:
    y = torch.sin(torch.arange(2000) * 0.2)[None] * torch.linspace(0, 1, 2000)
    power = PowerLoss(128, form=form, average=False, relative=form != "log")
    small, large = (distance(power, scale * 0.3 * y, scale * y) for scale in (1e-4, 1e2))
    torch.testing.assert_close(small, large, rtol=1e-3, atol=0)
    assert large > 0.1


def test_a_distance_of_several_resolutions_is_the_librarys() -> None:
    x, y = 0.1 * torch.randn(2, 2, 640)
    theirs = MultiResolutionSTFTLoss(fft_sizes=[64, 128], hop_sizes=[16, 32], win_lengths=[64, 128])
    ours = distance(MultiResolutionSTFT([64, 128]), x, y)
    torch.testing.assert_close(ours, theirs(x[:, None], y[:, None]))


def test_a_log_mel_distance_is_that_of_the_datas_own_mel() -> None:
    spec = DataSpec(sites=None, sample_rate=8_000, settings={"mel": asdict(MEL)})
    student = wavenet_iaf(spec, flows=[1], channels=2)
    teacher = wavenet(spec, layers=1, channels=2)
    x, y = 0.1 * torch.randn(2, 2, 640)
    draw = replace(student.draw(x), x=x)
    loss = LogMelDistance()(draw, student, teacher, Batch(y), 0.0)
    wanted = (MEL(x, 8_000) - MEL(y, 8_000)).abs().mean()
    torch.testing.assert_close(loss.value, wanted)


def test_a_log_mel_distance_of_values_that_are_no_sound_is_refused() -> None:
    student = wavenet_iaf(SPEC, flows=[1], channels=2)
    with pytest.raises(ValueError, match="mel settings"):
        LogMelDistance().check(student, wavenet(SPEC, layers=1, channels=2))
    LogMelDistance(MEL).check(student, wavenet(SPEC, layers=1, channels=2))
