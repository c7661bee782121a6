"""Quality against cost: students of several sizes of one teacher, each trained for equal minutes.

    distill teacher experiment=digits data.path=fsdd run=runs/digits
    python scripts/front.py runs/digits --minutes 5 --figure front.png

A student's steps are the minutes over its own seconds a step, in processor time. It is compared on
the validation part, at temperature 1, and its cost is that of drawing a second of sound on one
core: by the compiled layers, and, with --files, by its ONNX file. What is finished is not trained
again. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from ablation import seconds_a_step
from comparing import distill, heading, parser_of, take_over, words_of
from matplotlib import pyplot as plt

from distill.evaluation.audio.clips import held_out_clips
from distill.evaluation.audio.compare import Comparator
from distill.evaluation.audio.copies import copies
from distill.evaluation.audio.likelihood import kl_per_site
from distill.export import ONNX
from distill.instantiate import build
from distill.models import Flow
from distill.models.checkpoint import read_checkpoint

SIZES: dict[str, tuple[str, ...]] = {
    "3 x 8, r = 1": ("student=blocks", "student.block=1"),
    "3 x 8, r = 2": ("student=blocks", "student.block=2"),
    "3 x 8, r = 4": ("student=blocks", "student.block=4"),
    "3 x 8, r = 8 (blocks)": ("student=blocks",),
    "3 x 8, r = 16 (fast)": ("student=fast",),
    "3 x 8, r = 16, 48 channels": ("student=fast", "student.channels=48"),
    "2 x 6, r = 8": ("student=faster", "student.block=8"),
    "2 x 6, r = 16 (faster)": ("student=faster",),
    "2 x 6, r = 32": ("student=faster", "student.block=32"),
    "1 x 6, r = 16 (fastest)": ("student=fastest",),
}
COLUMNS = {
    "steps": "steps",
    "kl": "KL",
    "log_mel_mae": "log-mel",
    "stft": "STFT",
    "stoi": "STOI",
    "voicing_agreement": "voicing",
    "f0_within_50_cents": "F0",
    "level_db": "level, dB",
    "eager": "samples a second",
    "file": "by its file",
}
TIMED = 9


def trained(run: Path, name: str, minutes: float) -> Path:
    folder = run / "front" / name.replace(" ", "").replace(",", "_").replace("=", "")
    if not (folder / "student" / "metrics.json").is_file():
        take_over("teacher", run, folder)
        words = words_of(run, "threads", "eval")
        steps = int(60 * minutes / seconds_a_step([*words, *SIZES[name]], "student"))
        print(f"{name}: {steps} steps", flush=True)
        settings = (f"student_trainer.steps={steps}", "student_trainer.watch_every=0")
        distill("student", *words, *SIZES[name], f"run={folder}", "threads=1", *settings)
    return folder


def measured(run: Path, name: str, arguments: argparse.Namespace) -> dict[str, float]:
    folder = trained(run, name, arguments.minutes)
    done = folder / "front.json"
    if not done.is_file():
        saved = read_checkpoint(folder / "student")
        student, teacher = saved.model(), read_checkpoint(folder / "teacher").model()
        assert isinstance(student, Flow)
        part = build(saved.config["data"]).part("validation")
        clips = held_out_clips(part, arguments.count, 4.0)
        with torch.no_grad():
            made = copies(student, clips, 0, 1.0)
        found = Comparator(clips, student.spec)(made).scalars
        numbers = {key: found[key] for key in COLUMNS if key in found}
        numbers["kl"] = kl_per_site(student, teacher, clips, 0).mean
        metrics = json.loads((folder / "student" / "metrics.json").read_text())
        numbers["steps"] = metrics["steps"]
        numbers |= speeds(student, folder / "student.onnx" if arguments.files else None)
        done.write_text(json.dumps(numbers))
    return json.loads(done.read_text())


@torch.no_grad()
def speeds(student: Flow, path: Path | None) -> dict[str, float]:
    """Return samples a second of one core, from a mel alone."""
    frames = round(student.spec.sample_rate / student.spec.hop)
    sites = frames * student.spec.hop
    sizes = {name: feature.size for name, feature in student.spec.features.items()}
    features = {name: torch.full((1, frames, size), torch.nan) for name, size in sizes.items()}
    features["mel"] = torch.zeros(1, frames, sizes["mel"])
    found = {"eager": sites / least(lambda: student.sample(1, features))}
    if path:
        file = ONNX(threads=1).load(ONNX().write(student, path))
        found["file"] = sites / least(lambda: file.sample(1, features, sites=sites))
    return found


def least(draw: Callable[[], object]) -> float:
    times = []
    for _ in range(TIMED):
        began = time.process_time()
        draw()
        times.append(time.process_time() - began)
    return min(times)


def figure(found: dict[str, dict[str, float]], path: Path) -> None:
    keys = ("log_mel_mae", "stft", "stoi")
    drawn, axes = plt.subplots(1, len(keys), figsize=(13, 4), layout="constrained")
    for axis, key in zip(axes, keys, strict=True):
        for name, numbers in found.items():
            axis.plot(numbers["eager"], numbers[key], "o")
            axis.annotate(name, (numbers["eager"], numbers[key]), fontsize=7)
        axis.set(xscale="log", xlabel="samples a second of one core", ylabel=COLUMNS[key])
    drawn.savefig(path, dpi=80)


def main() -> None:
    parser = parser_of(__doc__, SIZES, count=60)
    parser.add_argument("run", type=Path, help="a run with a teacher")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each training")
    parser.add_argument("--files", action="store_true", help="time ONNX files too")
    parser.add_argument("--figure", type=Path, help="where to draw distances against speed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: measured(arguments.run, name, arguments) for name in arguments.only or SIZES}
    print("\n" + heading("", *COLUMNS.values()))
    for name, numbers in found.items():
        cells = [f"{numbers[key]:.4g}" if key in numbers else "" for key in COLUMNS]
        print(f"| {name} | {' | '.join(cells)} |")
    if arguments.figure:
        figure(found, arguments.figure)


if __name__ == "__main__":
    main()
