"""What loading an export of sound has to wait for."""

from __future__ import annotations

import subprocess
import sys

SETTINGS = """
import sys, torch
import distill
from distill.data.audio.mel import LogMel

distill.load, distill.load_voice  # what they stand for is imported
LogMel.usual(22_050)
from distill.data.audio.given_frames import MelWatch, check_frames
print({"soundfile", "numba", "scipy.signal", "distill.data.audio.corpus"} & set(sys.modules))
"""


def test_a_voice_with_a_mel_loads_without_what_reads_sounds():
    done = subprocess.run(
        [sys.executable, "-c", SETTINGS], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
