"""Time drawing on one core: a teacher site after site, and a student in one pass.

    python scripts/sampling_speed.py teacher  # 30 layers, 64 channels: 1 and 16 streams
    python scripts/sampling_speed.py student  # the paper's sizes: share of the arithmetic limit

Times are those of the process, each the best of several rounds. The arithmetic limit is what the
products of the networks would take at the rate of a large product, measured between the rounds.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable

import torch

from distill.contract import DataSpec, FeatureSpec
from distill.kernels.choice import plain_twins
from distill.models import wavenet, wavenet_iaf
from distill.networks import WaveNet

ROUNDS, RATE = 7, 24_000


def seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def peak() -> float:
    """Return the operations per second of one large product."""
    a, b, c = torch.randn(512, 512), torch.randn(512, 512), torch.empty(512, 512)
    return 2 * 512**3 * 10 / seconds(lambda: [torch.mm(a, b, out=c) for _ in range(10)])


def sound(hop: int) -> DataSpec:
    return DataSpec(sites=None, features={"mel": FeatureSpec("frames", 80)}, hop=hop)


def operations(net: WaveNet) -> int:
    """Return the operations of a row in all products, those of the context's rows included."""
    return sum(2 * m.weight.numel() for m in net.modules() if isinstance(m, torch.nn.Linear))


def teacher() -> None:
    torch.manual_seed(0)
    for block in (1, 4):
        made = wavenet(DataSpec(sites=None), layers=30, cycles=3, channels=64, block=block)
        for batch in (1, 16):
            sites = 4_000 * block // (8 if batch > 1 else 1)
            made.sample(batch, sites=64, seed=0)
            best = min(
                seconds(lambda b=batch, n=sites, m=made: m.sample(b, sites=n, seed=0))  # type: ignore[misc]
                for _ in range(ROUNDS)
            )
            rate = batch * sites / best
            print(f"block {block}, {batch} streams: {rate:,.0f} samples a second")


@torch.no_grad()
def student() -> None:
    torch.manual_seed(0)
    made = wavenet_iaf(sound(240)).eval()
    nets = [m for m in made.modules() if isinstance(m, WaveNet)]
    each = sum(operations(net) for net in nets)
    mel, noise = {"mel": torch.randn(1, 100, 80)}, made.noise(1, sites=RATE)
    for net in nets:
        torch.nn.init.normal_(net.last.weight, std=0.02)
    context = made.context(mel)
    fast, plain, peaks = [], [], []
    for _ in range(ROUNDS):
        peaks.append(peak())
        fast.append(seconds(lambda: made.core.draw(noise, context)))
        with plain_twins():
            plain.append(seconds(lambda: made.core.draw(noise, context)))
    got = made.core.draw(noise, context).x
    with plain_twins():
        off = (got - made.core.draw(noise, context).x).abs().max().item()
    limit = each * RATE / max(peaks)
    print(f"peak {max(peaks) / 1e9:.0f} GFLOP/s, {each / 1e6:.2f} MFLOP a sample")
    for name, times in (("plain", plain), ("compiled", fast)):
        print(
            f"{name}: {1 / min(times):.2f} times real time, {limit / min(times):.0%} of the limit"
        )
    print(f"largest difference of a sample: {off:.1e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, one thread, float32")
    {"teacher": teacher, "student": student}[sys.argv[1]]()
