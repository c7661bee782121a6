"""Objectives: what training minimizes."""

from distill.objectives.kl import ForwardKL, JensenShannon, ReverseKL
from distill.objectives.objective import Loss, Objective, WeightedSum
from distill.objectives.schedules import Ramp
from distill.objectives.tasks import Distillation, Likelihood, Task

__all__ = [
    "Distillation",
    "ForwardKL",
    "JensenShannon",
    "Likelihood",
    "Loss",
    "Objective",
    "Ramp",
    "ReverseKL",
    "Task",
    "WeightedSum",
]
