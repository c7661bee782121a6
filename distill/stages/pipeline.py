"""All stages in order under one run folder: teacher, student, evaluate, export, benchmark."""

from __future__ import annotations

import json
from importlib import import_module

from omegaconf import DictConfig

from distill.files import write_json
from distill.stages.folders import root_of

ORDER = ("teacher", "student", "evaluate", "export", "benchmark")


def run(config: DictConfig) -> dict[str, float]:
    """Run every stage; with `resume=true`, those that are finished are left as they are."""
    root = root_of(config)
    everything: dict[str, float] = {}
    for name in ORDER:
        done = root / name / "metrics.json"
        if config.resume and done.is_file():
            print(f"{name}: finished, kept", flush=True)
            numbers = json.loads(done.read_text())
        else:
            print(f"{name}: {root / name}", flush=True)
            numbers = import_module(f"distill.stages.{name}").run(config)
        everything |= {f"{name}/{key}": value for key, value in numbers.items()}
    write_json(root / "metrics.json", everything)
    return everything
