"""What the two training stages share: build, train, record."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import nn

from distill.checks import check_seed
from distill.contract import DataSpec
from distill.data import Data
from distill.differences import flatten
from distill.evaluation import Evaluator, Report
from distill.files import write_json, write_text
from distill.instantiate import build
from distill.models import Density
from distill.objectives import Task
from distill.stages.claims import check_data, claim, is_finished, precision_of
from distill.stages.differences import config_of, fingerprint
from distill.stages.folders import device_of, root_of, weights_of
from distill.stages.judges import judges_of
from distill.stages.work import alone_in, numbers_of, recorded
from distill.training import Checkpoint, Tracker
from distill.training.ranks import here, losing

MakeTask = Callable[[Density], Task]
MakeWatch = Callable[[Evaluator, Data], Callable[[nn.Module], Report]]


def train(
    config: DictConfig,
    role: str,
    make_task: MakeTask,
    make_watch: MakeWatch,
    teacher: Checkpoint | None = None,
) -> dict[str, float]:
    """Train the config's teacher or student into its folder.

    Arguments:
        config: The resolved config of the run.
        role: `teacher` or `student`: the config node, the folder and the trainer's prefix.
        make_task: What the model is trained for.
        make_watch: How it is evaluated meanwhile.
        teacher: What it is distilled from.
    """
    check_seed(config.seed)
    ranks = here()
    data = ranks.in_turn(lambda: _built("data", config.data))
    trainer = build(config[f"{role}_trainer"])
    evaluator = build(config.evaluation)
    evaluator.check(data)
    device = device_of(config)
    folder, mine = root_of(config) / role, config_of(config, role)
    made_from: dict[str, Any] = {"data": data.identity()}
    if teacher is not None:
        made_from |= {"teacher": weights_of(teacher), **judges_of(mine.get("objective"))}
        check_data(root_of(config) / "teacher", teacher.made_from, made_from)
    model = new_model(config, role, data.spec).to(device)
    task = make_task(model).to(device)
    with ExitStack() as stack:

        def claimed() -> tuple[Checkpoint | None, bool]:
            stack.enter_context(alone_in(folder))
            found = claim(config, folder, role, mine, made_from)
            return found, found is not None and is_finished(folder, found, mine, role)

        resumed, finished = ranks.once(claimed)
        if finished:
            print(f"{role}: finished, kept", flush=True)
            return numbers_of(folder)
        training: dict[str, Any] = {}
        if resumed:
            training = {**resumed.training, "precision": precision_of(resumed, role)}
            print(f"{role}: goes on from step {training['step']}", flush=True)
        evaluator.looks = trainer.looks(training)
        checkpoint = Checkpoint(role, mine, data.spec, {}, training, made_from)
        hashes = {**made_from, "data": fingerprint(made_from["data"])}
        began = time.monotonic() - training.get("seconds", 0.0)
        place = folder if ranks.leads else None
        work = None
        if place is not None:
            work = stack.enter_context(
                recorded(place, role, mine, hashes, resumed=resumed is not None)
            )
            write_config(mine, place)
            write_overrides(place)
        tracker = stack.enter_context(Tracker(place, training.get("step")))
        _describe(tracker, mine, training.get("step", 0))
        watch = make_watch(evaluator, data.watched)
        with losing(ranks):
            numbers = trainer.fit(
                task, data, watch, tracker, checkpoint, place, seed=config.seed, name=role
            )
        numbers["parameters"] = sum(p.numel() for p in model.parameters())
        numbers["stage_seconds"] = time.monotonic() - began
        if work is not None:
            work.made(
                weights=weights_of(checkpoint),
                steps=numbers["steps"],
                precision=checkpoint.training["precision"],
            )
        return tracker.metrics(numbers)  # type: ignore[return-value]


def _describe(tracker: Tracker, config: Mapping[str, Any], step: int) -> None:
    """Record a config as it stands, and as a table of its hyper-parameters."""
    tracker.text("config", f"```yaml\n{_as_yaml(config)}```", step)
    rows = (f"| {key} | {str(value).replace('|', '/')} |" for key, value in flatten(config).items())
    tracker.text("hparams", "\n".join(["| setting | value |", "|---|---|", *rows]), step)


def new_model(config: DictConfig, role: str, spec: DataSpec) -> Density:
    """Build a fresh model, the same for the same seed."""
    torch.manual_seed(config.seed)
    return _built(role, config[role], spec=spec)


def _built(name: str, node: DictConfig, **extra: Any) -> Any:
    """Build a part; what torch refuses to make (a layer of -4 units) is the user's to mend."""
    try:
        return build(node, **extra)
    except (RuntimeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(f"{name}: can't be built with these settings ({reason}).") from error


def write_overrides(folder: Path) -> None:
    """Write what the command line said, so that later stages of the run need not be told again."""
    if HydraConfig.initialized():
        write_json(folder / "overrides.json", list(HydraConfig.get().overrides.task))


def write_config(config: Mapping[str, Any], folder: Path) -> None:
    """Write what a stage read of the config, resolved, beside what it made."""
    write_text(folder / "config.yaml", _as_yaml(config))


def _as_yaml(config: Mapping[str, Any]) -> str:
    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))
