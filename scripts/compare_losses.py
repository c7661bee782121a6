"""Train a student with each set of losses against one teacher, and compare what they say.

    distill teacher    experiment=digits data.path=fsdd run=runs/digits
    distill classifier experiment=digits data.path=fsdd run=runs/digits
    python scripts/compare_losses.py runs/digits --steps 1500

Every student is the run's own experiment with another objective, seed and steps the same.
Each goes to RUN/losses/NAME; what is finished is not trained again. Prints a Markdown table.
"""

from __future__ import annotations

import json
from pathlib import Path

from comparing import distill, heading, parser_of, take_over, words_of

SETS = {
    "KL": ("gaussian_kl", ()),
    "KL + power": ("full", ("stft", "perceptual", "contrastive")),
    "KL + STFT": ("full", ("power", "perceptual", "contrastive")),
    "KL + power + STFT": ("full", ("perceptual", "contrastive")),
    "KL + power + contrastive": ("full", ("stft", "perceptual")),
    "KL + power + perceptual": ("full", ("stft", "contrastive")),
    "all five": ("full", ()),
}
COLUMNS = {
    "student/kl_reverse": "KL, nats a sample",
    "student/voicing_agreement": "voicing",
    "student/f0_within_50_cents": "F0 within 50 cents",
    "student/level_db": "level, dB",
    "student/log_mel_mae": "log-mel",
    "student/stft": "STFT",
    "student/accuracy": "recognized",
}


def student(run: Path, name: str, steps: int, count: int) -> dict[str, float]:
    objective, without = SETS[name]
    folder = run / "losses" / name.replace(" ", "_")
    done = folder / "evaluate" / "metrics.json"
    if not done.is_file():
        take_over("teacher", run, folder)
        take_over("classifier", run, folder)
        kept = words_of(run, "objective")
        changes = [f"~objective.terms.{term}" for term in without]
        settings = [f"objective={objective}", *changes, f"student_trainer.steps={steps}"]
        distill("student", *kept, f"run={folder}", *settings, "student_trainer.watch_every=0")
        judge = f"evaluation.classifier={folder / 'classifier'}"
        distill("evaluate", f"run={folder}", judge, f"evaluation.count={count}")
    return json.loads(done.read_text())


def row(name: str, numbers: dict[str, float], columns: dict[str, str]) -> str:
    cells = [f"{numbers[key]:.3f}" if key in numbers else "" for key in columns]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = parser_of(__doc__, SETS, count=100)
    parser.add_argument("run", type=Path, help="a run with a teacher and a classifier")
    parser.add_argument("--steps", type=int, default=1500, help="of each student")
    arguments = parser.parse_args()
    print(heading("loss", *COLUMNS.values()))
    numbers: dict[str, float] = {}
    for name in arguments.only or SETS:
        numbers = student(arguments.run, name, arguments.steps, arguments.count)
        print(row(name, numbers, COLUMNS), flush=True)
    for who in ("teacher", "griffin_lim"):
        theirs = {key.replace("student", who): text for key, text in COLUMNS.items()}
        print(row(f"({who})", numbers, theirs))


if __name__ == "__main__":
    main()
