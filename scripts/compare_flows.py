"""Compare this package's MAF with zuko's and nflows', side by side in one process.

    pip install -e '.[bench]'
    python scripts/compare_flows.py            # about 4 minutes on 2 cores: their sampling
    python scripts/compare_flows.py --quick    # under a minute and a half

All three are 5 masked affine layers of the same widths, trained by maximum likelihood on the same
batch. Contestants take turns step by step, and a ratio is the median of the ratios of neighboring
steps, so that a busy machine slows them alike. Every contestant runs with the same optimizer, once
with torch's default Adam and once with fused Adam. Sampling is every library's own: theirs runs one
whole pass per site and layer, ours only what a new site changes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from distill.benchmark.environment import environment
from distill.benchmark.peers.mafs import Sizes
from distill.benchmark.peers.nflows import NFlows
from distill.benchmark.peers.zuko import Zuko
from distill.benchmark.timing import Timing, Turn, measure, take_turns
from distill.contract import DataSpec
from distill.models import maf

Losses = dict[str, tuple[nn.Module, Callable[[], Tensor]]]


def build(sites: int, hidden: list[int], layers: int, x: Tensor) -> Losses:
    """Return each library's model and its negative log-likelihood of a batch."""
    sizes, ours = Sizes(sites, layers, hidden), maf(DataSpec(sites=sites), layers, hidden)
    try:
        theirs, other = Zuko().build(sizes), NFlows().build(sizes)
    except ImportError as error:
        raise SystemExit(f"{error}. Install the peers: pip install -e '.[bench]'") from None
    return {
        "distill": (ours, lambda: -ours.log_prob(x).sum(-1).mean()),
        "zuko": (theirs, lambda: -theirs().log_prob(x).mean()),
        "nflows": (other, lambda: -other.log_prob(x).mean()),
    }


def samplers(flows: Losses) -> dict[str, Callable[[int], Tensor]]:
    """Return each library's own sampling function."""
    ours, theirs, other = (flows[name][0] for name in ("distill", "zuko", "nflows"))
    return {
        "distill": lambda n: ours.sample(n),
        "zuko": lambda n: theirs().sample((n,)),
        "nflows": lambda n: other.sample(n),
    }


def training_step(model: nn.Module, loss: Callable[[], Tensor], fused: bool) -> Callable[[], None]:
    """Return one whole step: loss, gradients, Adam."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=fused)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def ratio(a: Timing, b: Timing) -> float:
    """Median of the ratios of neighbors."""
    return statistics.median(x / y for x, y in zip(a.times, b.times, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="sample one layer, and count it 5 times"
    )
    parser.add_argument("--sites", type=int, default=784)
    parser.add_argument("--hidden", type=int, nargs="+", default=[512, 512])
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rows", type=int, default=1000, help="rows to sample")
    parser.add_argument("--rounds", type=int, default=20, help="training steps of each contestant")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    args = parser.parse_args()
    if len(set(args.hidden)) != 1:
        parser.error("--hidden: nflows has one width for all its hidden layers; give equal numbers")
    torch.manual_seed(0)
    x = torch.randn(args.batch, args.sites)
    results: dict[str, float] = {}
    print(", ".join(f"{name} {value}" for name, value in environment().items()))

    flows = build(args.sites, args.hidden, args.layers, x)
    print(f"\ntraining step, {args.sites} sites, {args.layers} x {args.hidden}, batch {args.batch}")
    print(f"{'':10}{'Adam ms':>10}{'x zuko':>8}{'fused ms':>10}{'x zuko':>8}  fused x zuko's Adam")
    contestants = {
        f"{name}/{kind}": training_step(model, loss, kind == "fused")
        for kind in ("default", "fused")
        for name, (model, loss) in flows.items()
    }
    turns = [Turn(step) for step in contestants.values()]
    found = dict(zip(contestants, take_turns(turns, args.rounds, warmup_rounds=2), strict=True))
    if failed := next((one for one in found.values() if isinstance(one, Exception)), None):
        raise failed
    times = {name: one for name, one in found.items() if isinstance(one, Timing)}
    for name in flows:
        cells = []
        for kind in ("default", "fused"):
            mine, base = times[f"{name}/{kind}"], times[f"zuko/{kind}"]
            cells.append(f"{mine.median * 1e3:10.1f}{ratio(mine, base):8.2f}")
            results[f"training/{name}/{kind}/ms"] = mine.median * 1e3
            results[f"training/{name}/{kind}/over_zuko"] = ratio(mine, base)
        crossed = ratio(times[f"{name}/fused"], times["zuko/default"])
        results[f"training/{name}/fused_over_zuko_default"] = crossed
        print(f"{name:10}{''.join(cells)}{crossed:11.2f}", flush=True)

    layers = 1 if args.quick else args.layers
    note = f" (one layer x {args.layers}: extrapolated)" if args.quick else ""
    print(f"\nsampling {args.rows} rows of {args.sites} sites{note}")
    seconds: dict[str, float] = {}
    for name, sample in samplers(build(args.sites, args.hidden, layers, x)).items():
        with torch.no_grad():
            sample(1) if name == "distill" else None
            rounds = 5 if name == "distill" else 1
            start = time.perf_counter()
            median = measure(lambda sample=sample: sample(args.rows), rounds, 0, 60).median
        seconds[name] = median * args.layers / layers
        results[f"sampling/{name}/seconds"] = seconds[name]
        print(f"{name:10}{seconds[name]:10.2f} s   ({time.perf_counter() - start:.0f} s spent)")
    faster = min(seconds["zuko"], seconds["nflows"]) / seconds["distill"]
    results["sampling/times_faster_than_the_faster_peer"] = faster
    print(
        f"incremental sampling is {faster:.0f} times faster than the faster peer's sequential one"
    )
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
