"""Student presets of whitened sound at 22.05 kHz as files, beside Vocos: samples a second.

    pip install -e '.[bench]'
    python scripts/preset_speed.py presets --threads 1

From HiFi-GAN's mel alone, whitening included; weights are random, which speed does not see. Each
preset is an ONNX file and one of compiled loops. A second of sound is drawn in one pass, all in
turns, and pushed in chunks of two frames (23 ms).
Vocos has its published sizes for mels at 24 kHz (13.5 M parameters). Files are kept in the folder,
and written only where they are missing: a minute or two for each.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from distill.benchmark.environment import environment, in_one_line
from distill.configs import config_dir
from distill.data.audio import LogMel, Tones
from distill.export import ONNX, Backend, Exported, Loops
from distill.models import Flow
from distill.stages.training import new_model

PRESETS = ("blocks", "fast", "faster", "fastest")
RATE, ROUNDS, PUSHES, FRAMES = 22_050, 15, 400, 2
SIZES = ("experiment=ljspeech_small", "data.path=none")


def written(preset: str, backend: Backend, folder: Path) -> Path:
    path = folder / f"{preset}{backend.suffix}"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        mel = LogMel()  # HiFi-GAN's
        data = Tones(8, sample_rate=RATE, mel=mel, conditions=["mel"], optional=["f0", "phase"])
        with initialize_config_dir(str(config_dir()), version_base=None):
            config = compose("student", [*SIZES, f"student={preset}"])
        torch.manual_seed(0)
        student = new_model(config, "student", data.spec)
        assert isinstance(student, Flow)
        backend.write(student.eval(), path)
    return path


def inputs(file: Exported, frames: int) -> dict[str, torch.Tensor]:
    """Return a mel alone: what a file finds by itself is NaN."""
    sizes = {name: feature.size for name, feature in file.metadata.spec.features.items()}
    given = {name: torch.full((1, frames, size), torch.nan) for name, size in sizes.items()}
    return given | {"mel": torch.full((1, frames, sizes["mel"]), -5.0)}


def vocos(sites: int) -> tuple[Callable[[], object], int] | None:
    """Return Vocos's backbone and head as they come, and the samples that a call makes."""
    try:
        from vocos.heads import ISTFTHead
        from vocos.models import VocosBackbone
    except ImportError:
        return None
    model = torch.nn.Sequential(
        VocosBackbone(input_channels=100, dim=512, intermediate_dim=1536, num_layers=8),
        ISTFTHead(dim=512, n_fft=1024, hop_length=256, padding="center"),
    ).eval()
    mel = torch.randn(1, 100, sites // 256 + 1)
    return torch.no_grad()(lambda: model(mel)), sites // 256 * 256


def pushed(file: Exported) -> list[float]:
    """Return the seconds of each chunk of a stream."""
    stream, mel = file.stream(seed=0), torch.full((FRAMES, 80), -5.0)
    times = []
    for _ in range(PUSHES):
        began = time.perf_counter()
        stream.push(mel)
        times.append(time.perf_counter() - began)
    return sorted(times[20:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="of the files")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    backends = Loops(arguments.threads), ONNX(threads=arguments.threads)
    files = {
        f"{name}, {backend.name}": backend.load(written(name, backend, arguments.folder))
        for name in PRESETS
        for backend in backends
    }
    runs: dict[str, tuple[Callable[[], object], int]] = {}
    for name, file in files.items():
        frames = RATE // file.metadata.spec.hop
        sites = frames * file.metadata.spec.hop
        noise, given = file.noise(1, sites=sites), inputs(file, frames)
        runs[name] = (lambda file=file, noise=noise, given=given: file(noise, given)), sites  # type: ignore[misc]
    peer = vocos(RATE)
    if peer:
        runs["Vocos"] = peer
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS + 2):
        for name, (run, _) in runs.items():
            began = time.perf_counter()
            run()
            if turn > 1:
                times[name].append(time.perf_counter() - began)
    print(in_one_line(environment(torch.device("cpu"), torch.float32)))
    print(
        "\n| | samples a second | x real time | x Vocos | chunk p50 | p99 | x real time in chunks |"
    )
    print("|---|---|---|---|---|---|---|")
    own = statistics.median(times["Vocos"]) / runs["Vocos"][1] if peer else torch.nan
    for name, (_, sites) in runs.items():
        each = statistics.median(times[name]) / sites
        cells = [f"{1 / each:,.0f}", f"{1 / each / RATE:.1f}", f"{own / each:.2f}", "", "", ""]
        if name in files:
            chunks = pushed(files[name])
            length = FRAMES * files[name].metadata.spec.hop / RATE
            middle, late = chunks[len(chunks) // 2], chunks[int(0.99 * len(chunks))]
            cells[3:] = f"{1e3 * middle:.2f} ms", f"{1e3 * late:.2f} ms", f"{length / middle:.1f}"
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
