"""Distill a student from RUN/teacher by minimizing their KL, into RUN/student."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from distill.configure import build
from distill.models import Density, Flow
from distill.objectives import Distillation
from distill.stages.folders import check_same, device_of, root_of, saved_model
from distill.stages.training import train


def run(config: DictConfig) -> dict[str, float]:
    """Train the config's student against the run's frozen teacher."""
    saved = saved_model(config, "teacher")
    mine = OmegaConf.to_container(config, resolve=True)
    check_same(root_of(config) / "teacher", saved.config, mine, ("data",))
    teacher = saved.model(config.trusted).to(device_of(config))
    objective = build(config.objective)

    def task(student: Density) -> Distillation:
        if not isinstance(student, Flow):
            raise ValueError(
                f"student: wanted a flow, which draws in parallel, got {type(student).__name__}. "
                "Choose one, as in student=iaf."
            )
        return Distillation(student, teacher, objective, config.student_encoder, config.warmup)

    return train(
        config,
        "student",
        task,
        lambda evaluator, data: lambda model: evaluator.watch(model, data, config.seed, teacher),  # type: ignore[arg-type]
    )
