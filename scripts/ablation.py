"""What each part of the sound recipe brings, for equal minutes of training.

    distill classifier experiment=digits data.path=fsdd run=runs/digits
    python scripts/ablation.py fsdd runs/ablation --minutes 5 --classifier runs/digits/classifier

Each row adds a part to the row above. A teacher and a student of it are trained for the same time
on one core: a row's steps are the minutes over its own seconds a step, which are measured first, so
a row that computes more takes fewer. Compared on the validation part. What is finished is not
trained again. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from comparing import distill, heading, parser_of
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from distill.instantiate import build
from distill.models import Flow
from distill.objectives import Distillation, Task
from distill.stages.training import new_model

CONF = Path(__file__).parents[1] / "conf"
WITHOUT_VOICES = (
    "data.optional=[]",
    "teacher.encoder._target_=distill.networks.FrameEncoder",
)
WITHOUT_TAPS = (
    "teacher.pitch_taps=0",
    "teacher.pitch_periods=1",
    "student.pitch_taps=0",
    "student.pitch_periods=1",
)


def blocks(teacher: int, student: int) -> tuple[str, str]:
    return f"teacher.block={teacher}", f"student.block={student}"


ROWS: dict[str, tuple[str, ...]] = {
    # A net of the signal itself speaks only after learning on noisy pasts.
    "plain": (
        "objective=full",
        "~objective.terms.perceptual",
        "~objective.terms.contrastive",
        "teacher.outer=null",
        "++likelihood.history_noise=1.0",
        *blocks(1, 1),
        *WITHOUT_TAPS,
        *WITHOUT_VOICES,
    ),
    "+ whitening": (*blocks(1, 1), *WITHOUT_TAPS, *WITHOUT_VOICES),
    "+ voices": (*blocks(1, 1), *WITHOUT_TAPS),
    "+ pitch taps": blocks(1, 1),
    "+ blocks of 4": blocks(4, 4),
    "+ blocks of 8": blocks(8, 8),
    "+ blocks of 16": blocks(16, 16),
    "teacher of 4, student of 8": blocks(4, 8),
}
BOTH = {
    "log_mel_mae": "log-mel",
    "stft": "STFT",
    "stoi": "STOI",
    "voicing_agreement": "voicing",
    "f0_within_50_cents": "F0",
    "level_db": "level",
    "accuracy": "recognized",
}
WARM, TIMED = 3, 9


def task_of(config: DictConfig, role: str, data: object) -> Task:
    spec = data.spec  # type: ignore[attr-defined]
    teacher = new_model(config, "teacher", spec)
    if role == "teacher":
        return build(config.likelihood)(teacher, loss_warmup=config.loss_warmup)
    student = new_model(config, "student", spec)
    assert isinstance(student, Flow)
    objective = build(config.objective)
    return Distillation(student, teacher, objective, config.student_encoder, config.loss_warmup)


def seconds_a_step(words: list[str], role: str) -> float:
    """Measure training steps of an untrained model in processor time: other work may run beside."""
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("pipeline", words)
    data, size = build(config.data), config[f"{role}_trainer"].batch_size
    task = task_of(config, role, data)
    taught = [p for p in task.model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(taught, fused=True)
    took = []
    for step in range(WARM + TIMED):
        began = time.process_time()
        task(data.train_batch(step, size, 0), 0.0).value.backward()
        optimizer.step()
        optimizer.zero_grad()
        took.append(time.process_time() - began)
    return statistics.median(took[WARM:])


def measured(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    folder = arguments.out / name.strip("+ ").replace(" ", "_").replace(",", "")
    done = folder / "evaluate-validation" / "metrics.json"
    if not done.is_file():
        own = ["experiment=digits", f"data.path={arguments.corpus}", f"seed={arguments.seed}"]
        words = [*own, *ROWS[name], "++data.validation=0.05"]
        for role in ("teacher", "student"):
            if (folder / role / "metrics.json").is_file():
                continue  # its steps were those of its minutes then
            steps = int(60 * arguments.minutes / seconds_a_step(words, role))
            print(f"{name}: {role} of {steps} steps", flush=True)
            run = [f"run={folder}", "threads=1", "resume=true", f"{role}_trainer.steps={steps}"]
            read = [w for w in words if role == "teacher" or "likelihood" not in w]
            distill(role, *read, *run)
        judge = [f"evaluation.classifier={arguments.classifier}"] if arguments.classifier else []
        count = f"evaluation.count={arguments.count}"
        distill("evaluate", f"run={folder}", "part=validation", count, "threads=1", *judge)
    numbers = json.loads(done.read_text())
    for role in ("teacher", "student"):
        numbers[f"{role}/steps"] = json.loads((folder / role / "metrics.json").read_text())["steps"]
    return numbers


def line(name: str, numbers: dict[str, float], who: str) -> str:
    own = "held_out_nll" if who == "teacher" else "kl_reverse"
    keys = ("steps", own, *BOTH)
    cells = [numbers.get(f"{who}/{key}") for key in keys]
    return f"| {name} | " + " | ".join("" if c is None else f"{c:.4g}" for c in cells) + " |"


def main() -> None:
    parser = parser_of(__doc__, ROWS, count=60)
    parser.add_argument("corpus", type=Path, help="the digits")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classifier", type=Path, help="a trained one, to recognize copies")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = {name: measured(name, arguments) for name in arguments.only or ROWS}
    for who, own in (("teacher", "NLL"), ("student", "KL")):
        print("\n" + heading(who, "steps", own, *BOTH.values()))
        for name, numbers in found.items():
            print(line(name, numbers, who))
    theirs = next(iter(found.values()))
    for who in ("griffin_lim", "reference"):
        print(line(f"({who.replace('_', '-')})", theirs, who))


if __name__ == "__main__":
    main()
