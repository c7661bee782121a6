"""Distill a student from RUN/teacher by minimizing their KL, into RUN/student."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from distill.evaluation.evaluator import reported
from distill.instantiate import build
from distill.models import Density, Flow
from distill.objectives import Distillation
from distill.stages.folders import (
    check_same,
    device_of,
    root_of,
    saved_model,
    saved_node,
)
from distill.stages.training import train
from distill.stages.typed_overrides import config_path_of, is_typed, typed_overrides
from distill.training import Checkpoint


def _check_teacher(config: DictConfig, saved: Checkpoint) -> None:
    """Raise if another teacher is asked for than the run has."""
    typed = [o for o in typed_overrides() if config_path_of(o).split(".")[0] == "teacher"]
    if typed and "teacher" in config:
        mine = {"teacher": OmegaConf.to_container(config.teacher, resolve=True)}
        check_same(root_of(config) / "teacher", saved.config, mine, ("teacher",))


def run(config: DictConfig) -> dict[str, float]:
    """Train the config's student against the run's frozen teacher, on the teacher's data.

    Errors:
        FileNotFoundError: The run has no teacher.
        ValueError: Data or a seed of the split other than the teacher's; what `train` raises.
    """
    saved = saved_model(config, "teacher")
    _check_teacher(config, saved)
    config = config.copy()
    if not is_typed("seed") and "seed" in saved.config:
        config.seed = saved.config["seed"]
    config.data = saved_node(config, saved, "data")
    mine = {"data": OmegaConf.to_container(config.data, resolve=True)}
    check_same(root_of(config) / "teacher", saved.config, mine, ("data",))
    teacher = saved.model(config.trusted).to(device_of(config))
    objective = build(config.objective)

    def task(student: Density) -> Distillation:
        if not isinstance(student, Flow):
            raise ValueError(
                f"student: wanted a flow, which draws in parallel, got {type(student).__name__}. "
                "Choose one, as in student=iaf."
            )
        settings = config.student_encoder, config.loss_warmup, config.min_log_scale
        return Distillation(student, teacher, objective, *settings)

    return train(
        config,
        "student",
        task,
        lambda evaluator, data: (
            lambda model: reported(
                evaluator.watch(model, data, config.seed, teacher),  # type: ignore[arg-type]
                evaluator,
            )
        ),
        saved,
    )
