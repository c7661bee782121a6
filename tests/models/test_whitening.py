"""Models that end in linear prediction begin where signal processing ends."""

import functools
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch

from distill.contract import DataSpec, FeatureSpec
from distill.data.audio import LogMel, Tones
from distill.data.audio.envelope_formula import closed_formula
from distill.models import wavenet, wavenet_iaf, whitening
from distill.networks import FrameEncoder
from distill.objectives import Distillation, FreeEntropyKL

RATE, HOP = 8000, 64
MEL = LogMel(bands=64, fft=512, window=400, hop=HOP, high=None)


def resonances(sites: int, scale: float, seed: int = 0) -> tuple[torch.Tensor, float]:
    """Noise through two resonances, and its entropy in nats a site."""
    poles = [0.97 * np.exp(2j * np.pi * f / RATE) for f in (500, 1500)]
    a = np.real(np.poly([*poles, *np.conj(poles)]))
    rng, x = np.random.default_rng(seed), np.zeros(sites + 500)
    for t in range(4, len(x)):
        x[t] = scale * rng.normal() - a[1:] @ x[t - 4 : t][::-1]
    return torch.from_numpy(x[500:])[None].float(), 0.5 * math.log(2 * math.pi * math.e * scale**2)


def spec() -> DataSpec:
    return DataSpec(
        None,
        scale=(0.05,),
        features={"mel": FeatureSpec("frames", 64, (-4.0,) * 64, (1.0,) * 64)},
        sample_rate=RATE,
        hop=HOP,
        settings={"mel": asdict(MEL), "envelope": closed_formula(MEL, RATE)},
    )


def teacher(order: int | None, **settings):
    outer = None if order is None else functools.partial(whitening, order=order)
    encoder = functools.partial(FrameEncoder, mode="repeat")
    return wavenet(
        spec(), encoder=encoder, layers=2, channels=8, outer=outer, last_scale=0.0, **settings
    )


@torch.no_grad()
def test_an_untrained_whitened_teacher_is_near_the_entropy_of_resonant_noise():
    x, entropy = resonances(128 * HOP, 0.003)
    features = {"mel": MEL(x.double(), RATE).float()}
    nll = {
        order: -float(teacher(order).log_prob(x, features)[:, 500:].mean())
        for order in (None, 16, 32)
    }
    # It may even lie below: the mel also tells of this very recording.
    assert abs(nll[16] - entropy) < 0.25
    assert abs(nll[32] - entropy) < 0.25
    assert nll[None] > entropy + 1


def test_without_training_its_samples_have_the_level_of_the_recording():
    x, _ = resonances(128 * HOP, 0.003)
    features = {"mel": MEL(x.double(), RATE).float()}
    sound = teacher(32, block=4).sample(1, features, sites=x.shape[1], seed=0)
    assert abs(20 * math.log10(float(sound.std() / x.std()))) < 2


def test_a_student_at_its_start_is_its_untrained_teacher():
    x, _ = resonances(32 * HOP, 0.003)
    features = {"mel": MEL(x.double(), RATE).float()}
    theirs = teacher(16)
    encoder = functools.partial(FrameEncoder, mode="repeat")
    outer = functools.partial(whitening, order=16)
    student = wavenet_iaf(
        spec(), flows=[2], cycle=2, kernel=2, channels=8, encoder=encoder, block=8, outer=outer
    )
    draw = student.draw(student.noise(1, sites=x.shape[1], seed=1), features)
    gap = (draw.log_prob - theirs.log_prob(draw.x, features)).abs().max()
    assert draw.x.std() > 0.01
    assert gap < 1e-3


def test_a_student_of_other_whitening_is_refused():
    outer = functools.partial(whitening, order=12)
    encoder = functools.partial(FrameEncoder, mode="repeat")
    student = wavenet_iaf(spec(), flows=[2], cycle=2, channels=8, encoder=encoder, outer=outer)
    with pytest.raises(ValueError, match="LinearPrediction, got one of other settings") as error:
        Distillation(student, teacher(16), FreeEntropyKL())
    assert "\n" not in str(error.value)


def test_whitening_wants_a_mel():
    data = Tones(count=4, seconds=0.5, conditions=["f0"])
    with pytest.raises(ValueError, match=r"wanted data with a mel .*got f0"):
        whitening(data.spec)
