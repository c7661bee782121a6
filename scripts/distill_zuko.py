"""Distill a neural spline flow of zuko into an IAF of this package, on two moons.

The flow is built and trained in zuko's own way; here it is any density with a log-prob.

Usage: pip install zuko && python scripts/distill_zuko.py [seed ...]
"""

from __future__ import annotations

import sys
import time

import torch
import zuko

import distill
from distill.bijectors import RationalQuadraticSpline
from distill.data import Moons
from distill.evaluation.divergence import forward_kl, reverse_kl

BATCH, TEACHER_STEPS, STUDENT_STEPS = 512, 2000, 2500


def trained(data: Moons, seed: int) -> zuko.flows.Flow:
    """Return a flow of zuko, trained by maximum likelihood without a word of this package."""
    torch.manual_seed(seed)
    flow = zuko.flows.NSF(2, transforms=3, hidden_features=[64, 64])
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3)
    for step in range(TEACHER_STEPS):
        loss = -flow().log_prob(data.train_batch(step, BATCH, seed).x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return flow


def main(seeds: list[int]) -> None:
    torch.set_num_threads(1)
    for seed in seeds:
        data, began = Moons(seed=seed), time.process_time()
        flow = trained(data, seed)
        held_out = next(iter(data.held_out(10_000))).x
        with torch.no_grad():
            nll = -flow().log_prob(held_out).mean()
        student = distill.iaf(data.spec, layers=4, hidden=[64], transform=RationalQuadraticSpline)
        settings = {"learning_rate": 5e-3, "clip": 5.0, "ema": 0.998, "steps": STUDENT_STEPS}
        distill.distill(student, flow, data, "covering_kl", seed=seed, **settings)
        teacher = distill.ForeignDensity(flow, data.spec)
        print(
            f"seed {seed}: teacher {nll:.3f} nats held out (entropy {data.entropy:.3f}); "
            f"KL(student || teacher) {reverse_kl(student, teacher)}, "
            f"KL(teacher || student) {forward_kl(student, teacher)}; "
            f"{time.process_time() - began:.0f} s of one core",
            flush=True,
        )


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [0])
