"""Draw a run's sounds as spectrograms: `scripts/sound_figure.py runs/digits digits.png`.

Reference, Griffin-Lim, teacher and student of one held-out clip, one below the other, from what
`distill evaluate` wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

import soundfile
import torch
from PIL import Image

from distill.evaluation.audio.pictures import spectrograms_figure

OUT = Path(__file__).parent / "figures"
NAMES = ("reference", "griffin_lim", "teacher", "student", "student_from_mel")


def main(run: Path, name: str, clip: str = "0") -> None:
    """Draw what is there of one clip."""
    sounds: dict[str, torch.Tensor] = {}
    rate = 0
    for kind in NAMES:
        path = run / "evaluate" / "audio" / f"{kind}_{clip}.wav"
        if path.is_file():
            samples, rate = soundfile.read(path, dtype="float32")
            sounds[kind.replace("_", " ")] = torch.from_numpy(samples)
    if not sounds:
        sys.exit(f"{run}: no sounds of clip {clip} there; run `distill evaluate run={run}` first.")
    OUT.mkdir(exist_ok=True)
    spectrograms_figure(sounds, rate).savefig(OUT / name, dpi=60)
    # Few colors: a spectrogram's noise hardly compresses otherwise.
    Image.open(OUT / name).convert("RGB").quantize(32).save(OUT / name, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: scripts/sound_figure.py RUN FILE.png [CLIP]")
    main(Path(sys.argv[1]), *sys.argv[2:])
