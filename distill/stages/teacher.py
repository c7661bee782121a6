"""Train a teacher by maximum likelihood: parallel in every site, into RUN/teacher."""

from __future__ import annotations

from functools import partial

from omegaconf import DictConfig

from distill.evaluation.evaluator import reported
from distill.instantiate import build
from distill.stages.training import train


def run(config: DictConfig) -> dict[str, float]:
    """Train the config's teacher."""
    return train(
        config,
        "teacher",
        partial(build(config.likelihood), loss_warmup=config.loss_warmup),
        lambda evaluator, data: (
            lambda model: reported(
                evaluator.watch(model, data, config.seed),  # type: ignore[arg-type]
                evaluator,
            )
        ),
    )
