"""Draw the README's figure from a finished run: `scripts/readme_figure.py runs/moons`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import distill
from distill.evaluation.pictures import layers_figure, samples_figure
from distill.instantiate import build
from distill.training import read_checkpoint

OUT = Path(__file__).parent / "figures"


def main(run: Path) -> None:
    """Draw samples of teacher and student beside the data, and the student's layers."""
    teacher, student = distill.load(run / "teacher"), distill.load(run / "student")
    data = build(read_checkpoint(run / "student").config["data"])
    loc, scale = torch.tensor(data.spec.loc), torch.tensor(data.spec.scale)
    sets = {
        "teacher, sequential": teacher.sample(4000, seed=0),
        "student, one pass": student.sample(4000, seed=0),
        "data": data.train_batch(0, 4000, 0).x,
    }
    OUT.mkdir(exist_ok=True)
    samples_figure(sets, loc, scale).savefig(OUT / "moons.png", dpi=70)
    noise = student.noise(3000, seed=0)
    layers_figure(student, noise, None).savefig(OUT / "moons_layers.png", dpi=60)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: scripts/readme_figure.py RUN")
    main(Path(sys.argv[1]))
