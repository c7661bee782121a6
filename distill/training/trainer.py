"""The one training loop: it never asks what kind of model it has."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from distill.checks import check_number
from distill.data import Data
from distill.evaluation import Report
from distill.interruption import Interrupted, StopRequest, interruptible
from distill.models.checkpoint import Checkpoint
from distill.objectives import Task
from distill.progress import progress_bar, show
from distill.training.batches import MOST_AHEAD, Batches
from distill.training.ema import EMA
from distill.training.gradient import Gradient
from distill.training.precision import PRECISIONS, choose
from distill.training.ranks import here
from distill.training.retention import Kept
from distill.training.state import TrainingState, check_optimizer, optimizer_of
from distill.training.tracker import Tracker

_MAX_SKIPS_IN_A_ROW = 50

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
_fused_adam: OptimizerFactory = partial(torch.optim.Adam, fused=True)
Watch = Callable[[nn.Module], Report]


@dataclass(frozen=True)
class Trainer:
    """Settings of one training, and the loop.

    Every step is a function of its number and the seed alone (its batch, its noise, its learning
    rate), so a resumed run continues the same curve, and several processes give it too.

    Arguments:
        steps: Number of optimizer steps.
        batch_size: Values per step, over all processes.
        accumulate: In how many parts, one after the other, each process takes its rows of a batch.
        learning_rate: At its highest.
        optimizer: Factory taking the parameters; fused Adam by default. Rates of groups keep their
            ratio to its own, which is learning_rate.
        schedule: `cosine` (to zero), `step` (halved every `halve_every` steps) or `constant`.
        halve_every: Steps between halvings.
        warmup_steps: Steps over which the learning rate rises from zero.
        clip: Largest gradient norm; longer gradients are scaled down to it.
        ema: Decay of the average of weights that is evaluated and saved; 0 for none.
        watch_every: Steps between evaluations; a fifth of the steps by default, at least 50; 0
            watches only before and after.
        log_every: Steps between records of the loss.
        save_every: Steps between checkpoints.
        keep: How many checkpoints stay, the last ones, as `step_<number>.pt`; 1 is the last alone.
        keep_best: Keep the one with the lowest `monitor` too, as `best.pt`.
        patience: Stop after this many evaluations without a better `monitor`, and return to the
            best weights; 0 never stops.
        monitor: Name of the watched scalar that is to fall.
        precision: `float32`, `bfloat16` for mixed precision, or `auto`: bfloat16 where the device
            has units for it and the models gain from it.
        prefetch: Batches that a thread makes ready while a step runs, at most 100; 0 makes each
            when its step begins. By default 2 for a GPU, and 0 on a CPU, busy with the step.

    Errors:
        ValueError: An unknown schedule or precision, or numbers out of range.
    """

    steps: int = 2_000
    batch_size: int = 512
    accumulate: int = 1
    learning_rate: float = 1e-3
    optimizer: OptimizerFactory = _fused_adam
    schedule: str = "cosine"
    halve_every: int = 200_000
    warmup_steps: int = 100
    clip: float = 10.0
    ema: float = 0.0
    watch_every: int | None = None
    log_every: int = 50
    save_every: int = 1_000
    keep: int = 1
    keep_best: bool = False
    patience: int = 0
    monitor: str = "held_out_nll"
    precision: str = "auto"
    prefetch: int | None = None

    def __post_init__(self) -> None:
        if self.schedule not in ("cosine", "step", "constant"):
            known = "cosine, step or constant"
            raise ValueError(f"trainer.schedule: wanted {known}, got {self.schedule!r}.")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"trainer.precision: wanted {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, got "
                f"{self.precision!r}."
            )
        periods = ("halve_every", "log_every", "save_every")
        for name in ("steps", "batch_size", "accumulate", *periods, "keep"):
            check_number(f"trainer.{name}", getattr(self, name), low=1, whole=True)
        for name in ("warmup_steps", "patience"):
            check_number(f"trainer.{name}", getattr(self, name), low=0, whole=True)
        for name, high in (("watch_every", None), ("prefetch", MOST_AHEAD)):
            if getattr(self, name) is not None:
                check_number(f"trainer.{name}", getattr(self, name), low=0, high=high, whole=True)
        for name in ("learning_rate", "clip"):
            check_number(f"trainer.{name}", getattr(self, name), above=0)
        check_number("trainer.ema", self.ema, low=0, below=1)
        check_optimizer(self.optimizer)
        for name in ("patience", "keep_best"):
            if getattr(self, name) and self.watch_every == 0:
                raise ValueError(
                    f"trainer.{name}: wanted watch_every > 0 beside it, got "
                    f"{name}={getattr(self, name)} and watch_every=0, which never looks. Set both, "
                    "or neither."
                )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step.

        Example:
            >>> Trainer(steps=100, warmup_steps=10, learning_rate=1.0, schedule="constant").rate(4)
            0.5
        """
        warm = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        decay = 1.0
        if self.schedule == "cosine":
            decay = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        elif self.schedule == "step":
            decay = 0.5 ** (step // self.halve_every)
        return self.learning_rate * warm * decay

    @property
    def period(self) -> int:
        """Steps between evaluations; 0 for none on the way."""
        return max(50, self.steps // 5) if self.watch_every is None else self.watch_every

    def looks(self, training: Mapping[str, Any]) -> int:
        """Return how often a training was watched until a checkpoint of it, less the last look.

        Example:
            >>> Trainer(watch_every=10).looks({"step": 25, "watched": 20})
            3
        """
        watched, period = training.get("watched", training.get("step", -1)), self.period
        return 0 if watched < 0 else 1 + (watched // period if period else 0)

    def fit(
        self,
        task: Task,
        data: Data,
        watch: Watch | None = None,
        tracker: Tracker | None = None,
        checkpoint: Checkpoint | None = None,
        folder: Path | None = None,
        seed: int = 0,
        name: str = "training",
    ) -> dict[str, float]:
        """Train `task.model`, and leave the weights to use in it.

        Arguments:
            task: What is trained, on its device.
            data: Where batches come from.
            watch: Evaluates a model now and then; `None` never does.
            tracker: Where numbers and pictures go.
            checkpoint: Carries config and spec; one with `training` in it is resumed.
            folder: Where checkpoints are written; `None` writes none.
            seed: Of batches and noise.
            name: For the progress line.

        SIGINT and SIGTERM let a step finish; then all is saved, and a resumed run goes on there.
        In a `session` of several processes each calls this alike, the first alone with a folder.

        Errors:
            ValueError: Too many non-finite steps in a row, or weights that are not finite; settings
                that want something to watch with, or a folder.
            Interrupted: By a signal, once the checkpoint is written.
        """
        if watch is None and (self.watch_every or self._judges):
            raise ValueError(
                "trainer.watch_every, patience and keep_best wanted something to watch with, got "
                "none. Give an evaluator, or leave them out."
            )
        ranks = here()
        if folder is None and ranks.leads and (self.keep_best or self.keep > 1):
            raise ValueError(
                "trainer.keep and keep_best wanted a folder to keep checkpoints in, got none. Name "
                "one, or leave them."
            )
        tracker = tracker or Tracker(None)
        model, device = task.model, next(task.model.parameters()).device
        checkpoint = checkpoint or Checkpoint("model", {}, model.spec, {})
        optimizer = optimizer_of(self.optimizer, model)
        state = TrainingState(model, optimizer, EMA(model, self.ema) if self.ema else None)
        if checkpoint.training:
            state.restore(checkpoint.training)
        asked = self.precision, task, device, checkpoint.training.get("precision")
        precision = ranks.once(lambda: choose(*asked))
        print(precision, flush=True)
        kept = Kept(folder, self.keep, resumed=bool(checkpoint.training))

        def save() -> None:
            state.check_finite(name)
            checkpoint.weights = state.weights()
            spent = {"precision": precision.name, "seconds": time.monotonic() - began}
            checkpoint.training = {**state.to_dict(), **spent}
            kept.save(checkpoint, state.step)

        def look(request: StopRequest, suffix: str = "") -> None:
            if watch is None:
                return
            with request.raising():  # looking may take minutes; a resumed run looks again
                report = ranks.watch(lambda: watch(state.current))
            tracker.report(report, state.step, suffix)
            state.watched = state.step
            if suffix or not self._judges:
                return
            better = state.judge(ranks.once(lambda: self._monitored(report)), bool(self.patience))
            if better and self.keep_best:
                kept.save_best(replace(checkpoint, weights=state.current.state_dict(), training={}))

        bar = progress_bar(name, self.steps, state.step)
        began = time.monotonic() - checkpoint.training.get("seconds", 0.0)
        within, size = False, self.batch_size
        batches = Batches(data, size, seed, device, self.prefetch, ranks.rows(size))
        gradient = Gradient(task, batches, self.accumulate, precision, ranks)
        with interruptible(at_once=False) as request, bar, batches:
            try:
                if state.watched < 0:
                    look(request, suffix="_before")
                elif self._is_due(state):
                    look(request)
                while state.step < self.steps and not self._out_of_patience(state):
                    step, rate = state.step, self.rate(state.step)
                    within = True
                    task.train()
                    optimizer.zero_grad(set_to_none=True)
                    loss = gradient(step, step / self.steps)
                    norm = state.apply(loss.value.item(), rate, self.clip)
                    within = False
                    if state.skipped_in_a_row >= _MAX_SKIPS_IN_A_ROW:
                        said = loss.value.item(), self.learning_rate, size, seed
                        raise ValueError(state.lost(name, *said))
                    if state.step % self.log_every == 0 or state.step == self.steps:
                        parts = {key: float(value) for key, value in loss.parts.items()}
                        health = {"gradient_norm": norm, "skipped": state.skipped}
                        numbers = {"loss": loss.value.item(), **parts, **health}
                        tracker.scalars(numbers | {"learning_rate": rate}, state.step, "train/")
                        show(bar, state.step, **dict(list(parts.items())[:2]))
                    if self._is_due(state):
                        look(request)
                    if state.step % self.save_every == 0:
                        save()
                    ranks.leave_if_asked(request)
                save()
                model.load_state_dict(checkpoint.weights)
                model.eval()
                with request.raising():
                    report = ranks.watch(lambda: watch(model)) if watch else Report()
            except Interrupted as signal:
                if within:  # by a second signal, which does not wait: half a step is no state
                    raise Interrupted(signal.number, state.cut()) from None
                save()
                raise Interrupted(signal.number, state.goodbye(self.steps)) from None
        tracker.report(report, state.step)
        if state.skipped:
            left_out = f"{name}: {state.skipped} of {state.step} steps were left out"
            print(f"{left_out}: their loss or gradient was not finite.", flush=True)
        counts = {"steps": state.step, "skipped_steps": state.skipped}
        return {**report.scalars, **counts, "seconds": time.monotonic() - began}

    def _is_due(self, state: TrainingState) -> bool:
        """Whether an evaluation of this step is wanted, and has not been."""
        if self.watch_every is None and state.step == self.steps and not self._judges:
            return False  # the look at the end is the same
        return bool(self.period) and state.step % self.period == 0 and state.watched != state.step

    @property
    def _judges(self) -> bool:
        """Whether evaluations decide on weights."""
        return bool(self.patience) or self.keep_best

    def _out_of_patience(self, state: TrainingState) -> bool:
        return bool(self.patience) and state.waited >= self.patience

    def _monitored(self, report: Report) -> float:
        if self.monitor not in report.scalars:
            raise ValueError(
                f"trainer.monitor: nothing named {self.monitor!r} is watched; there are "
                f"{', '.join(sorted(report.scalars))}."
            )
        return report.scalars[self.monitor]
