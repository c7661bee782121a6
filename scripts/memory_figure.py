"""Draw what memory and time a training step takes over the number of flows, by what is kept.

    python scripts/memory_figure.py                     # into scripts/figures/memory.png
    python scripts/memory_figure.py --flows 4,8 --rounds 3 --out memory.png

Real-NVP, whose layers are parallel in both directions. Memory is the peak of all bytes that torch's
CPU allocator holds during forward and backward pass, beside weights and gradients, exactly: its
profiler records every allocation. Time is the fastest of some rounds, in which they take turns.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.profiler import ProfilerActivity, profile

from distill.contract import DataSpec
from distill.models import Flow, coupling_flow

OUT = Path(__file__).parent / "figures" / "memory.png"
WAYS = {"everything kept": False, "activations recomputed": "activations", "outputs": "outputs"}
COLORS = ("#d1495b", "#edae49", "#3b6fb6")


def step(flow: Flow, x: torch.Tensor) -> None:
    for weight in flow.parameters():
        assert weight.grad is not None
        weight.grad.zero_()
    (-flow.log_prob(x).mean()).backward()


def peak_bytes(flow: Flow, x: torch.Tensor) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        step(flow, x)
    assert found.profiler is not None
    changes = [
        (event.start_ns(), event.nbytes())
        for event in found.profiler.kineto_results.events()
        if event.name() == "[memory]"
    ]
    held = most = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        held += change
        most = max(most, held)
    return most


def measure(
    flows: list[int], sites: int, width: int, batch: int, rounds: int
) -> dict[str, list[tuple[float, float]]]:
    x = torch.randn(batch, sites)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for count in flows:
        made = {}
        for name, way in WAYS.items():
            torch.manual_seed(0)
            made[name] = coupling_flow(DataSpec(sites=sites), count, [width, width], recompute=way)
            for weight in made[name].parameters():
                weight.grad = torch.zeros_like(weight)
            step(made[name], x)
        seconds = dict.fromkeys(WAYS, float("inf"))
        for _ in range(rounds):
            for name, flow in made.items():
                began = time.perf_counter()
                step(flow, x)
                seconds[name] = min(seconds[name], time.perf_counter() - began)
        for name, flow in made.items():
            found[name].append((peak_bytes(flow, x) / 2**20, seconds[name]))
    return found


def draw(flows: list[int], found: dict[str, list[tuple[float, float]]]) -> Figure:
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    memory, price = figure.subplots(1, 2)
    plain = [seconds for _, seconds in found["everything kept"]]
    for (name, points), color in zip(found.items(), COLORS, strict=True):
        memory.plot(flows, [size for size, _ in points], "o-", ms=3, color=color, label=name)
        ratios = [seconds / base for (_, seconds), base in zip(points, plain, strict=True)]
        price.plot(flows, ratios, "o-", ms=3, color=color)
    memory.set_ylabel("peak memory of a step, MiB")
    price.set_ylabel("time, over keeping everything")
    price.set_ylim(bottom=0)
    for panel in (memory, price):
        panel.set_xlabel("flows")
        panel.set_xticks(flows)
        panel.spines[["top", "right"]].set_visible(False)
    memory.set_ylim(bottom=0)
    memory.legend(frameon=False, fontsize=8)
    return figure


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--flows", type=numbers, default="4,8,16,32")
    parser.add_argument("--sites", type=int, default=64)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(given.flows, given.sites, given.width, given.batch, given.rounds)
    print("| kept | " + " | ".join(f"{count} flows" for count in given.flows) + " |")
    print("|---|" + "---|" * len(given.flows))
    for name, points in found.items():
        cells = [
            f"{size:.1f} MiB, {seconds / base:.2f}x"
            for (size, seconds), (_, base) in zip(points, found["everything kept"], strict=True)
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    draw(given.flows, found).savefig(given.out, dpi=80)


if __name__ == "__main__":
    main()
