"""Draw how the cost of a draw grows with length, batch and block, small enough for the docs.

    python scripts/growth_figure.py                       # into scripts/figures/growth.png
    python scripts/growth_figure.py --threads 2 --out growth.png --rounds 9

A WaveNet teacher (compiled loop) and a WaveNet-IAF student of random weights, which take as long as
trained ones. Run it on a quiet machine: the figure names the machine, and its numbers are printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from distill.benchmark.growth import measure_growth
from distill.contract import DataSpec
from distill.models import Density, wavenet, wavenet_iaf

OUT = Path(__file__).parent / "figures" / "growth.png"
SPEC = DataSpec(None, scale=(0.1,), sample_rate=8000, hop=16)


def make(role: str, *, sites: int | None = None, block: int | None = None) -> Density:
    torch.manual_seed(0)
    if role == "teacher":
        return wavenet(SPEC, layers=16, cycles=2, channels=32, block=block or 4).eval()
    return wavenet_iaf(SPEC, [8, 8, 8], 8, kernel=2, channels=32, block=block or 8).eval()


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=5.0, help="most for a point")
    parser.add_argument("--length", type=int, default=8000, help="sites beside batch and block")
    parser.add_argument("--sites", type=numbers, default="1000,2000,4000,8000,16000")
    parser.add_argument("--batch", type=numbers, default="1,2,4,8,16")
    parser.add_argument("--block", type=numbers, default="1,2,4,8,16")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    over = {axis: getattr(given, axis) for axis in ("sites", "batch", "block")}
    grown = measure_growth(
        make, over, sites=given.length, rounds=given.rounds, seconds=given.seconds
    )
    report = grown.report()
    print(report.tables["growth"])
    given.out.parent.mkdir(parents=True, exist_ok=True)
    report.figures["growth"].savefig(given.out, dpi=70)


if __name__ == "__main__":
    main()
