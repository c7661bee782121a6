"""What loading an export, and checking a mel, has to wait for."""

from __future__ import annotations

import subprocess
import sys

SETTINGS = """
import sys, torch
import distill
from distill.contract import DataSpec, FeatureSpec
from distill.data.audio.mel import LogMel

distill.load, distill.load_voice  # what they stand for is imported
mel = LogMel.usual(22_050)
spec = DataSpec(
    None,
    features={"mel": FeatureSpec("frames", 80, (-6.0,) * 80, (2.0,) * 80)},
    sample_rate=22_050,
    hop=mel.hop,
    settings={"mel": vars(mel)},
)
from distill.data.audio.given_frames import MelWatch, check_frames
frames = torch.full((1, 3, 80), -6.0)
check_frames({"mel": frames}, spec, "voice")
assert MelWatch(spec).whole(frames) is None
print({"soundfile", "numba", "scipy.signal", "distill.data.audio.corpus"} & set(sys.modules))
"""


def test_a_voice_with_a_mel_loads_without_what_reads_sounds():
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
