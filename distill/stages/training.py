"""What the two training stages share: build, train, record."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import nn

from distill.configure import build
from distill.contract import DataSpec
from distill.data import Data
from distill.evaluation import Evaluator, Report
from distill.files import write_json, write_text
from distill.models import Density
from distill.objectives import Task
from distill.stages.folders import claim_training_folder, device_of, root_of
from distill.training import Checkpoint, Tracker

MakeTask = Callable[[Density], Task]
MakeWatch = Callable[[Evaluator, Data], Callable[[nn.Module], Report]]


def train(
    config: DictConfig, role: str, make_task: MakeTask, make_watch: MakeWatch
) -> dict[str, float]:
    """Train the config's teacher or student into its folder.

    Arguments:
        config: The resolved config of the run.
        role: `teacher` or `student`: the config node, the folder and the trainer's prefix.
        make_task: What the model is trained for.
        make_watch: How it is evaluated meanwhile.
    """
    data = build(config.data)
    trainer = build(config[f"{role}_trainer"])
    evaluator = build(config.evaluation)
    device = device_of(config)
    model = new_model(config, role, data.spec).to(device)
    task = make_task(model).to(device)
    resumed = claim_training_folder(config, role)
    folder = root_of(config) / role
    plain = OmegaConf.to_container(config, resolve=True)
    checkpoint = Checkpoint(role, plain, data.spec, {}, resumed.training if resumed else {})  # type: ignore[arg-type]
    write_config(config, folder)
    write_overrides(folder)
    began = time.monotonic()
    with Tracker(folder) as tracker:
        numbers = trainer.fit(
            task,
            data,
            make_watch(evaluator, data),
            tracker,
            checkpoint,
            folder,
            seed=config.seed,
            name=role,
        )
        numbers["parameters"] = sum(p.numel() for p in model.parameters())
        numbers["stage_seconds"] = time.monotonic() - began
        return tracker.metrics(numbers)  # type: ignore[return-value]


def new_model(config: DictConfig, role: str, spec: DataSpec) -> Density:
    """Build a fresh model, the same for the same seed."""
    torch.manual_seed(config.seed)
    return build(config[role], spec=spec)


def write_overrides(folder: Path) -> None:
    """Write what the command line said, so that later stages of the run need not be told again."""
    if HydraConfig.initialized():
        write_json(folder / "overrides.json", list(HydraConfig.get().overrides.task))


def write_config(config: DictConfig, folder: Path) -> None:
    """Write the resolved config beside what it made."""
    write_text(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
