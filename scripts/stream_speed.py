"""Latency of streamed chunks by student size and backend, with random weights.

python scripts/stream_speed.py                              # every size, chunk and fast backend
python scripts/stream_speed.py --sizes 3x10x32 --backends onnx,onnx_int8,aoti

A size is flows x layers x channels. The students are conditioned at frame rate on 80 bands. Files
are kept in --folder, and written only where they are missing: aoti takes minutes for each.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch

from distill.benchmark.environment import environment
from distill.benchmark.stream_table import StreamTable
from distill.benchmark.streams import benchmark_streams
from distill.contract import DataSpec, FeatureSpec
from distill.export import AOTI, ONNX, PT2, Backend, Loops, ONNXInt8
from distill.models import Flow, wavenet_iaf
from distill.networks import FrameEncoder

BACKENDS = {
    "onnx": ONNX,
    "onnx_int8": ONNXInt8,
    "pt2": PT2,
    "pt2_bf16": partial(PT2, "bfloat16"),
    "aoti": AOTI,
    "loops": Loops,
}
SIZES = "3x10x32,4x10x64,2x10x32,4x6x32"


def student(size: str, kernel: int, rate: int, hop: int, bands: int) -> Flow:
    flows, layers, channels = map(int, size.split("x"))
    features = {"mel": FeatureSpec("frames", bands)}
    spec = DataSpec(None, scale=(0.1,), features=features, sample_rate=rate, hop=hop)
    encoder = partial(FrameEncoder, mode="repeat", layers=2, channels=bands, look_ahead=2)
    torch.manual_seed(0)
    flow = wavenet_iaf(
        spec, [layers] * flows, layers, kernel=kernel, channels=channels, encoder=encoder,
        last_scale=0.5,
    )  # fmt: skip
    return flow.eval()


def written(backend: Backend, flow: Flow, folder: Path) -> Path:
    path = folder / f"student{backend.suffix}"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        backend.write(flow, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default=SIZES)
    parser.add_argument("--backends", default="onnx,onnx_int8,pt2")
    parser.add_argument("--chunks", default="0.01,0.02,0.05,0.1", help="seconds")
    parser.add_argument("--pushes", type=int, default=200, help="chunks of each stream")
    parser.add_argument("--seconds", type=float, default=5.0, help="most for a row")
    parser.add_argument("--kernel", type=int, default=2)
    parser.add_argument("--rate", type=int, default=22050)
    parser.add_argument("--hop", type=int, default=256)
    parser.add_argument("--bands", type=int, default=80)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--folder", type=Path, default=Path("runs/stream_speed"))
    parser.add_argument(
        "--write-only", action="store_true", help="write the files, measure nothing"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    table = StreamTable(environment())
    for size in given.sizes.split(","):
        flow = student(size, given.kernel, given.rate, given.hop, given.bands)
        folder = given.folder / f"{size}_kernel_{given.kernel}_{given.rate}_{given.hop}"
        backends = [BACKENDS[name]() for name in given.backends.split(",")]
        files = [written(backend, flow, folder) for backend in backends]
        if not given.write_only:
            chunks = [float(chunk) for chunk in given.chunks.split(",")]
            found = benchmark_streams(flow, files, chunks, given.pushes, given.seconds, size)
            table.rows += found.rows
            table.calibrations |= found.calibrations
    print(", ".join(f"{name} {value}" for name, value in table.environment.items()))
    print(table.to_markdown())


if __name__ == "__main__":
    main()
