"""Small students of signals, shared by the tests of exports."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional as F

from distill.contract import DataSpec, FeatureSpec
from distill.distributions import Logistic, Normal
from distill.export import AOTI, ONNX, PT2
from distill.models import Flow, wavenet_iaf, whitening
from distill.networks import FrameEncoder, HarmonicEncoder

BACKENDS = {"pt2": PT2, "onnx": ONNX, "aoti": AOTI}
HOP, RATE = 4, 8000
MEL = FeatureSpec("frames", 5, (-1.0,) * 5, (2.0,) * 5)
F0 = FeatureSpec("frames", 2, (5.0, 0.5), (0.2, 0.5))
SPEAKER = FeatureSpec("label", 3)
MAYBE = FeatureSpec("frames", 2, (5.0, 0.5), (0.2, 0.5), optional=True)
ENVELOPE = {
    "fft": 32,
    "knots": [2.0, 5.0, 8.0, 11.0, 14.0],
    "weight": [0.5] * 5,
    "bias": [-3.0] * 5,
}


def student(
    features,
    base=Normal,
    encoder=FrameEncoder,
    flows=(2, 1),
    channels=16,
    block=1,
    pitch_taps=0,
    order=0,
    **settings,
) -> Flow:
    torch.manual_seed(0)
    given = {"envelope": ENVELOPE} if order else {}
    spec = DataSpec(
        None, scale=(0.3,), features=features, sample_rate=RATE, hop=HOP, settings=given
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
        outer=partial(whitening, order=order) if order else None,
    )
    return flow.eval()


def finding(block: int = 4) -> Flow:
    """A student that is whitened, reads pitch taps, and finds F0 and phase in the mel."""
    return student(
        {"mel": MEL, "f0": MAYBE, "phase": MAYBE},
        encoder=HarmonicEncoder,
        mode="repeat",
        look_ahead=1,
        harmonics=2,
        voices=1,
        block=block,
        pitch_taps=3,
        order=4,
    )


CASES = {
    "speakers": lambda: student(
        {"mel": MEL, "speaker": SPEAKER}, mode="repeat", layers=1, channels=6, look_ahead=1
    ),
    "transposed, logistic": lambda: student({"mel": MEL}, Logistic, rates=[2], look_ahead=2),
    "linear": lambda: student({"mel": MEL, "f0": F0}, mode="linear"),
    "repeat, no layers": lambda: student({"mel": MEL}, mode="repeat"),
    "harmonics": lambda: student(
        {"mel": MEL, "f0": F0, "phase": F0},
        encoder=HarmonicEncoder,
        mode="repeat",
        look_ahead=1,
        harmonics=2,
    ),
    "whitened, from the mel": finding,
    "label only": lambda: student({"speaker": SPEAKER}),
    "unconditional": lambda: student({}),
}


def features_of(flow: Flow, frames: int, seed: int = 1):
    """Features of one signal, as arrays without a batch."""
    generator = torch.Generator().manual_seed(seed)
    made = {
        "mel": torch.randn(frames, 5, generator=generator) * 2 - 1,
        "f0": torch.rand(frames, 2, generator=generator) * 0.5 + 5,
        "phase": F.normalize(torch.randn(frames, 2, generator=generator)),
        "speaker": 2,
    }
    return {name: made[name] for name in flow.spec.features}
