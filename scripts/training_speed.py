"""Time training steps with compiled loops against plain operations, in turns, on one core.

    python scripts/training_speed.py tones teacher
    python scripts/training_speed.py digits student data.path=fsdd

Both sides start every step from the same weights and the same batch, so that their losses can be
compared step by step. Times are those of the process, which a busy machine disturbs least.
"""

from __future__ import annotations

import copy
import platform
import statistics
import sys
import time
from contextlib import nullcontext
from functools import partial

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from distill.configs import config_dir
from distill.instantiate import build
from distill.kernels.choice import plain_twins
from distill.objectives import Distillation, Task
from distill.stages.training import new_model
from distill.training.ema import EMA
from distill.training.state import TrainingState

WARM, TIMED = 3, 21


def composed(stage: str, overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base=None):
        return compose(stage, overrides)


def task_of(role: str, overrides: list[str]) -> tuple[Task, object, int]:
    """Return what is trained, the data and the batch size."""
    config = composed("teacher", overrides)
    data = build(config.data)
    teacher = new_model(config, "teacher", data.spec)
    if role == "teacher":
        task: Task = partial(build(config.likelihood), loss_warmup=config.loss_warmup)(teacher)
        return task, data, config.teacher_trainer.get("batch_size", 512)
    config = composed("student", overrides)
    settings = config.student_encoder, config.loss_warmup, config.min_log_scale
    student = new_model(config, "student", data.spec)
    task = Distillation(student, teacher, build(config.objective), *settings)  # type: ignore[arg-type]
    return task, data, config.student_trainer.get("batch_size", 512)


def state_of(task: Task) -> TrainingState:
    trained = [p for p in task.model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, 1e-3, fused=True)
    return TrainingState(task.model, optimizer, EMA(task.model, 0.998))


def main(name: str, role: str, *more: str) -> None:
    torch.set_num_threads(1)
    plain, data, size = task_of(role, [f"experiment={name}", *more])
    fast = copy.deepcopy(plain)
    sides = [(plain, state_of(plain), plain_twins), (fast, state_of(fast), nullcontext)]
    times: list[list[float]] = [[], []]
    off = 0.0
    for step in range(WARM + TIMED):
        batch = data.train_batch(step, size, 0)  # type: ignore[attr-defined]
        losses = []
        for side in (step % 2, 1 - step % 2):
            task, state, how = sides[side]
            task.train()
            torch.manual_seed(step)
            began = time.process_time()
            with how():
                loss = task(batch, step / (WARM + TIMED)).value
                loss.backward()
                state.apply(loss.item(), 1e-3, 10.0)
                state.optimizer.zero_grad()
            if step >= WARM:
                times[side].append(time.process_time() - began)
            losses.append(loss.item())
        off = max(off, abs(losses[0] - losses[1]) / max(1.0, abs(losses[0])))
        fast.load_state_dict(plain.state_dict())
        sides[1][1].optimizer.load_state_dict(copy.deepcopy(sides[0][1].optimizer.state_dict()))
    middle = [1e3 * statistics.median(side) for side in times]
    least = [1e3 * min(side) for side in times]
    sites = batch.x.numel()
    print(f"{name} {role}, {platform.processor() or platform.machine()}, one thread, float32")
    for label, value in (("median", middle), ("least", least)):
        rates = f"{sites / value[0]:.1f} and {sites / value[1]:.1f} sites a ms"
        both = f"plain {value[0]:.1f} ms, compiled {value[1]:.1f} ms a step, {rates}"
        print(f"{label}: {both}: {value[0] / value[1]:.2f} times")
    print(f"largest difference of a loss: {off:.1e}")


if __name__ == "__main__":
    main(*sys.argv[1:])
