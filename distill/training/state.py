"""Everything of a training that changes from step to step, and that resuming restores."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from distill.errors import one_line
from distill.training.ema import EMA

_OTHERS = (torch.optim.LBFGS, torch.optim.SparseAdam)
"""Kinds that take no step by one dense gradient."""
_HELD: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("model", "optimizer", "best_weights"), dict),
    **dict.fromkeys(("step", "skipped", "waited"), int),
    "best": (int, float),
}
_PERHAPS: dict[str, type | tuple[type, ...]] = {
    "ema": dict,
    "precision": str,
    "seconds": (int, float),
    **dict.fromkeys(("ema_updates", "skipped_in_a_row", "watched"), int),
}


def check_goes_on(training: Mapping[str, Any], folder: Path) -> None:
    """Raise unless a checkpoint holds what a training can go on from.

    Errors:
        ValueError: It lacks a part, as `best.pt` does, or one is something else.
    """
    kinds = _HELD | {name: kind for name, kind in _PERHAPS.items() if name in training}
    odd = [name for name, kind in kinds.items() if not isinstance(training.get(name), kind)]
    if odd:
        raise ValueError(
            f"{folder}: its checkpoint holds a model to use and no training to go on from, as "
            f"best.pt does (no {odd[0]}). Put back the last checkpoint or a step_*.pt, or name "
            "another folder to train in."
        )


def check_optimizer(make: Any) -> None:
    """Raise if an optimizer is given a learning rate, which steps replace, or what none means.

    One whose maker wants a rate may have it.

    Errors:
        ValueError: It is, and need not be; it is to maximize, or given too few or many numbers.
    """
    given = getattr(make, "keywords", {})
    if given.get("maximize"):
        raise ValueError(
            "trainer.optimizer.maximize: wanted false, since losses are to fall, got "
            f"{given['maximize']}. Leave it out."
        )
    try:
        parameters = inspect.signature(make.func).parameters if given else {}
    except (AttributeError, TypeError, ValueError):
        return
    for name, value in given.items():
        usual = parameters[name].default if name in parameters else None
        if not (isinstance(usual, tuple) and isinstance(value, list | tuple)):
            continue
        if len(value) != len(usual):
            raise ValueError(
                f"trainer.optimizer.{name}: wanted {len(usual)} numbers, as in {list(usual)}, got "
                f"{list(value)}. Give as many, or leave it out."
            )
    if "lr" not in given or "lr" not in parameters:
        return
    wanted = parameters["lr"].default is inspect.Parameter.empty
    if not wanted:
        raise ValueError(
            "trainer.optimizer.lr: wanted an optimizer without lr, which learning_rate and its "
            f"schedule set, got lr={make.keywords['lr']}. Set learning_rate={make.keywords['lr']}."
        )


def optimizer_of(make: Callable[[list[nn.Parameter]], Optimizer], model: nn.Module) -> Optimizer:
    """Make the optimizer of what a model learns.

    Arguments:
        make: Takes the parameters.
        model: On its device.

    Errors:
        ValueError: Its settings don't fit it, or each other.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    kind = getattr(make, "func", None)
    if not (inspect.isclass(kind) and issubclass(kind, Optimizer)) or issubclass(kind, _OTHERS):
        return make(parameters)
    try:
        if parameters:  # some settings are looked at by a step alone, so one goes ahead of ours
            trial = nn.Parameter(parameters[0].new_zeros(1, 1))
            trial.grad = torch.zeros_like(trial)
            make([trial]).step()
        return make(parameters)
    except (IndexError, RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise ValueError(
            f"trainer.optimizer: {kind.__name__} does not run with these settings "
            f"({one_line(error, 200).rstrip('.')}). Change or leave out some of them."
        ) from error


@dataclass
class TrainingState:
    """Model, optimizer, average and counters.

    Arguments:
        model: The model that is trained.
        optimizer: Of its parameters.
        ema: Its average, or `None`.
        step: Steps done.
        skipped: Steps left out because their loss or gradient was not finite.
        skipped_in_a_row: Of these, the ones since the last good step.
        watched: The step of the last evaluation, -1 before the first.
        best: Lowest watched value.
        waited: Evaluations since then.
        best_weights: The weights that had it; empty where nothing is monitored.
    """

    model: nn.Module
    optimizer: Optimizer
    ema: EMA | None = None
    step: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    watched: int = -1
    best: float = math.inf
    waited: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what can't take a step by the gradient that it is given, or trains others."""
        made: object = self.optimizer
        if not isinstance(made, Optimizer) or isinstance(made, _OTHERS):
            raise ValueError(
                "optimizer: wanted one of torch that takes a step by one dense gradient, as "
                f"torch.optim.AdamW, got {type(made).__name__}."
            )
        own = {id(p) for p in self.model.parameters()}
        if any(id(p) not in own for group in made.param_groups for p in group["params"]):
            raise ValueError(
                "optimizer: wanted one of the parameters that it is given, got one of others, "
                "which leaves the model as it is. Make it of its argument, as functools.partial "
                "does."
            )
        # Groups may go faster or slower than the optimizer; its own rate is the trainer's.
        usual = float(made.defaults.get("lr", 0)) or 1.0
        self._ratios = [float(group.get("lr", usual)) / usual for group in made.param_groups]

    @property
    def current(self) -> nn.Module:
        """The model to watch: the average where there is one."""
        return self.ema.model if self.ema else self.model

    def weights(self) -> dict[str, Tensor]:
        """Return the weights to use: the best ones seen, or the current ones."""
        return self.best_weights or self.current.state_dict()

    def apply(self, loss: float, rate: float, clip: float) -> float:
        """Take one optimizer step by the gradient, unless it or the loss is not finite.

        Returns the gradient's norm.
        """
        for group, ratio in zip(self.optimizer.param_groups, self._ratios, strict=True):
            group["lr"] = rate * ratio
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(trained, clip))
        self.step += 1
        if math.isfinite(norm) and math.isfinite(loss):
            self.optimizer.step()
            if self.ema:
                self.ema.update()
            self.skipped_in_a_row = 0
        else:
            self.skipped += 1
            self.skipped_in_a_row += 1
        return norm

    def judge(self, value: float, keep: bool = True) -> bool:
        """Return whether a watched value is the best one; with `keep`, hold its weights."""
        if value < self.best:
            self.best, self.waited = value, 0
            if keep:
                self.best_weights = {k: v.clone() for k, v in self.current.state_dict().items()}
            return True
        self.waited += 1
        return False

    def check_finite(self, owner: str) -> None:
        """Raise before weights are written that no later step could mend.

        Arguments:
            owner: Whose they are, for the message.

        Errors:
            ValueError: A weight is not finite.
        """
        for name, weight in self.model.named_parameters():
            if not weight.isfinite().all():
                raise ValueError(
                    f"{owner}: {name} is not finite after step {self.step}. Lower learning_rate. "
                    "A checkpoint that was written is whole."
                )

    def lost(self, owner: str, loss: float, rate: float, size: int, seed: int) -> str:
        """Say that a training is lost, and where to look."""
        return (
            f"{owner}: {self.skipped_in_a_row} steps in a row had a non-finite loss or gradient, "
            f"the last one with batch {self.step - 1} (loss {loss:.3g}). Lower learning_rate="
            f"{rate:g}, or look at that batch: data.train_batch({self.step - 1}, {size}, {seed}). "
            "A checkpoint that was written is whole."
        )

    def goodbye(self, steps: int) -> str:
        """Say where a training of so many steps stopped."""
        return f"stopped after step {self.step} of {steps}, and saved. Go on with resume=true."

    def cut(self) -> str:
        """Say where a training was left without saving."""
        return (
            f"left at once within step {self.step}, and saved nothing. A checkpoint that was "
            "written is whole: go on from it with resume=true."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers and tensors, for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "optimizer_kind": type(self.optimizer).__name__,
            "ema": self.ema.model.state_dict() if self.ema else {},
            "ema_updates": self.ema.updates if self.ema else 0,
            "step": self.step,
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "watched": self.watched,
            "best": self.best,
            "waited": self.waited,
            "best_weights": self.best_weights,
        }

    @torch.no_grad()
    def restore(self, saved: dict[str, Any]) -> None:
        """Take up what `to_dict` returned."""
        self.model.load_state_dict(saved["model"])
        kind = type(self.optimizer).__name__
        if saved.get("optimizer_kind", kind) != kind:
            raise ValueError(
                f"optimizer: wanted {saved['optimizer_kind']}, which the checkpoint is of, "
                f"got {kind}. Go on with that one, or begin anew."
            )
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.ema:
            self.ema.model.load_state_dict(saved["ema"] or saved["model"])
            self.ema.updates = saved["ema_updates"]
        self.step, self.skipped = saved["step"], saved["skipped"]
        self.skipped_in_a_row = saved.get("skipped_in_a_row", 0)
        self.watched = saved.get("watched", self.step)
        self.best, self.waited = saved["best"], saved["waited"]
        self.best_weights = saved["best_weights"]
