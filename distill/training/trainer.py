"""The one training loop: it never asks what kind of model it has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from distill.data import Data
from distill.evaluation import Report
from distill.objectives import Task
from distill.training.checkpoint import Checkpoint
from distill.training.ema import EMA
from distill.training.progress import Progress
from distill.training.state import TrainingState
from distill.training.tracker import Tracker

_MAX_SKIPS_IN_A_ROW = 50

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
_fused_adam: OptimizerFactory = partial(torch.optim.Adam, fused=True)
Watch = Callable[[nn.Module], Report]


@dataclass(frozen=True)
class Trainer:
    """Settings of one training, and the loop.

    Every step is a function of its number and the seed alone (its batch, its noise, its learning
    rate), so a resumed run continues the same curve.

    Arguments:
        steps: Number of optimizer steps.
        batch_size: Values per step.
        learning_rate: At its highest.
        optimizer: Factory taking the parameters; fused Adam by default.
        schedule: `cosine` (to zero), `step` (halved every `halve_every` steps) or `constant`.
        halve_every: Steps between halvings.
        warmup: Steps over which the learning rate rises from zero.
        clip: Largest gradient norm; longer gradients are scaled down to it.
        ema: Decay of the average of weights that is evaluated and saved; 0 for none.
        watch_every: Steps between evaluations; 0 watches only before and after.
        log_every: Steps between records of the loss.
        save_every: Steps between checkpoints.
        patience: Stop after this many evaluations without a better `monitor`, and return to the
            best weights; 0 never stops.
        monitor: Name of the watched scalar that is to fall.
        precision: `float32`, or `bfloat16` for mixed precision.

    Errors:
        ValueError: An unknown schedule or precision, or numbers out of range.
    """

    steps: int = 2_000
    batch_size: int = 512
    learning_rate: float = 1e-3
    optimizer: OptimizerFactory = _fused_adam
    schedule: str = "cosine"
    halve_every: int = 200_000
    warmup: int = 100
    clip: float = 10.0
    ema: float = 0.0
    watch_every: int = 0
    log_every: int = 50
    save_every: int = 1_000
    patience: int = 0
    monitor: str = "held_out_nll"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.schedule not in ("cosine", "step", "constant"):
            raise ValueError(
                f"trainer.schedule: wanted cosine, step or constant, got {self.schedule!r}."
            )
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(
                f"trainer.precision: wanted float32 or bfloat16, got {self.precision!r}."
            )
        if self.patience and not self.watch_every:
            raise ValueError(
                f"trainer.patience: wanted watch_every > 0 beside it, got patience={self.patience} "
                "and watch_every=0, which never looks. Set both, or neither."
            )
        for name in ("steps", "batch_size", "learning_rate", "clip", "log_every", "save_every"):
            value = getattr(self, name)
            if isinstance(value, str) or value <= 0:
                raise ValueError(f"trainer.{name}: wanted a number above 0, got {value!r}.")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step.

        Example:
            >>> Trainer(steps=100, warmup=10, learning_rate=1.0, schedule="constant").rate(4)
            0.5
        """
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        decay = 1.0
        if self.schedule == "cosine":
            decay = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        elif self.schedule == "step":
            decay = 0.5 ** (step // self.halve_every)
        return self.learning_rate * warm * decay

    def fit(
        self,
        task: Task,
        data: Data,
        watch: Watch,
        tracker: Tracker,
        checkpoint: Checkpoint,
        folder: Path,
        seed: int = 0,
        name: str = "training",
    ) -> dict[str, float]:
        """Train `task.model`, and leave the weights to use in it.

        Arguments:
            task: What is trained, on its device.
            data: Where batches come from.
            watch: Evaluates a model now and then.
            tracker: Where numbers and pictures go.
            checkpoint: Carries config and spec; one with `training` in it is resumed.
            folder: Where checkpoints are written.
            seed: Of batches and noise.
            name: For the progress line.

        Errors:
            RuntimeError: Too many non-finite steps in a row.
        """
        model, device = task.model, next(task.model.parameters()).device
        optimizer = self.optimizer([p for p in model.parameters() if p.requires_grad])
        state = TrainingState(model, optimizer, EMA(model, self.ema) if self.ema else None)
        if checkpoint.training:
            state.restore(checkpoint.training)
        else:
            tracker.report(watch(state.current), 0, suffix="_before")

        def save() -> None:
            checkpoint.weights, checkpoint.training = state.weights(), state.to_dict()
            checkpoint.save(folder)

        progress = Progress(name, self.steps, state.step)
        began = time.monotonic()
        while state.step < self.steps and not self._out_of_patience(state):
            step, rate = state.step, self.rate(state.step)
            task.train()
            torch.manual_seed(hash((seed, step)) % 2**63)
            batch = data.train_batch(step, self.batch_size, seed).to(device)
            with torch.autocast(device.type, torch.bfloat16, self.precision == "bfloat16"):
                loss = task(batch, step / self.steps)
            norm = state.apply(loss.value, rate, self.clip)
            if state.skipped_in_a_row >= _MAX_SKIPS_IN_A_ROW:
                raise RuntimeError(
                    f"{name}: {state.skipped_in_a_row} steps in a row had a non-finite gradient "
                    f"(loss {loss.value.item():.3g}). Lower the learning rate or the clip; the "
                    "last checkpoint is whole."
                )
            if state.step % self.log_every == 0 or state.step == self.steps:
                parts = {key: float(value) for key, value in loss.parts.items()}
                health = {"gradient_norm": norm, "skipped": state.skipped, "learning_rate": rate}
                tracker.scalars(
                    {"loss": loss.value.item(), **parts, **health}, state.step, "train/"
                )
                progress.update(state.step, **dict(list(parts.items())[:2]))
            if self.watch_every and state.step % self.watch_every == 0:
                report = watch(state.current)
                tracker.report(report, state.step)
                if self.patience:
                    state.judge(self._monitored(report))
            if state.step % self.save_every == 0:
                save()
        save()
        model.load_state_dict(checkpoint.weights)
        model.eval()
        report = watch(model)
        tracker.report(report, state.step)
        numbers = {"steps": state.step, "skipped_steps": state.skipped}
        return {**report.scalars, **numbers, "seconds": time.monotonic() - began}

    def _out_of_patience(self, state: TrainingState) -> bool:
        return bool(self.patience) and state.waited >= self.patience

    def _monitored(self, report: Report) -> float:
        if self.monitor not in report.scalars:
            raise ValueError(
                f"trainer.monitor: nothing named {self.monitor!r} is watched; there are "
                f"{', '.join(sorted(report.scalars))}."
            )
        return report.scalars[self.monitor]
