"""Small students of signals, shared by the tests of exports."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch.nn import functional as F

from distill.contract import DataSpec, FeatureSpec
from distill.distributions import Logistic, Normal
from distill.export import AOTI, ONNX, PT2, Loops
from distill.models import Flow, wavenet_iaf, whitening
from distill.networks import FrameEncoder, HarmonicEncoder

BACKENDS = {"pt2": PT2, "onnx": ONNX, "aoti": AOTI, "loops": Loops}
HOP, RATE = 4, 8000
MEL = FeatureSpec("frames", 5, (-1.0,) * 5, (2.0,) * 5)
WIDE = FeatureSpec("frames", 8, (-1.0,) * 8, (2.0,) * 8)
F0 = FeatureSpec("frames", 2, (5.0, 0.5), (0.2, 0.5))
SPEAKER = FeatureSpec("label", 3)
MAYBE = FeatureSpec("frames", 2, (5.0, 0.5), (0.2, 0.5), optional=True)
ENVELOPE = {
    "fft": 64,
    "knots": [2.0, 6.0, 10.0, 14.0, 18.0, 22.0, 26.0, 30.0],
    "weight": [0.5] * 8,
    "bias": [-3.0] * 8,
}
SINES = {"encoder": HarmonicEncoder, "mode": "repeat", "harmonics": 2}


def student(
    features,
    base=Normal,
    encoder=FrameEncoder,
    flows=(2, 1),
    channels=16,
    block=1,
    pitch_taps=0,
    pitch_periods=1,
    order=0,
    hop=HOP,
    **settings,
) -> Flow:
    torch.manual_seed(0)
    given = {"envelope": ENVELOPE} if order else {}
    spec = DataSpec(
        None, scale=(0.3,), features=features, sample_rate=RATE, hop=hop, settings=given
    )
    flow = wavenet_iaf(
        spec,
        flows,
        2,
        base=base(),
        encoder=partial(encoder, **settings),
        kernel=3,
        channels=channels,
        last_scale=0.5,
        block=block,
        pitch_taps=pitch_taps,
        pitch_periods=pitch_periods,
        outer=partial(whitening, order=order) if order else None,
    )
    return flow.eval()


def finding(block: int = 4, hop: int = HOP, **more: FeatureSpec) -> Flow:
    """A student that is whitened, reads pitch taps, and finds F0 and phase in the mel."""
    return student(
        {"mel": WIDE, "f0": MAYBE, "phase": MAYBE, **more},
        look_ahead=1,
        voices=1,
        block=block,
        pitch_taps=3,
        pitch_periods=2,
        order=12,
        hop=hop,
        **SINES,
    )


CASES = {
    "speakers": lambda: student(
        {"mel": MEL, "speaker": SPEAKER}, mode="repeat", layers=1, channels=6, look_ahead=1
    ),
    "transposed, logistic": lambda: student({"mel": MEL}, Logistic, rates=[2], look_ahead=2),
    "linear": lambda: student({"mel": MEL, "f0": F0}, mode="linear"),
    "repeat, no layers": lambda: student({"mel": MEL}, mode="repeat"),
    "harmonics": lambda: student({"mel": MEL, "f0": F0, "phase": F0}, look_ahead=1, **SINES),
    "whitened, from the mel": finding,
    "whitened, speakers, blocks of 8": lambda: finding(block=8, hop=8, speaker=SPEAKER),
    "whitened, no pitch": lambda: student({"mel": WIDE}, Logistic, mode="linear", order=12),
    "a phase that is added up": lambda: student(
        {"mel": MEL, "f0": F0, "phase": MAYBE}, look_ahead=2, layers=1, channels=6, **SINES
    ),
    "label only": lambda: student({"speaker": SPEAKER}),
    "unconditional": lambda: student({}),
}


def features_of(flow: Flow, frames: int, seed: int = 1):
    """Features of one signal, as arrays without a batch; optional ones have gaps, or are NaN."""
    specs = flow.spec.features
    generator = torch.Generator().manual_seed(seed)
    made = {}
    if "mel" in specs:
        made["mel"] = torch.randn(frames, specs["mel"].size, generator=generator) * 2 - 1
    made |= {
        "f0": torch.rand(frames, 2, generator=generator) * 0.5 + 5,
        "phase": F.normalize(torch.randn(frames, 2, generator=generator)),
        "speaker": 2,
    }
    gaps = {"f0": slice(1, None, 3), "phase": slice(None)}
    for name in [name for name, feature in specs.items() if feature.optional]:
        made[name][gaps[name]] = math.nan
    return {name: made[name] for name in specs}
