"""Objectives: what training minimizes."""

from distill.objectives.conditional import FreeEntropyKL, GaussianKL
from distill.objectives.contrastive import Contrastive
from distill.objectives.kl import ForwardKL, JensenShannon, ReverseKL
from distill.objectives.log_mel import LogMelDistance
from distill.objectives.objective import Loss, Objective, WeightedSum
from distill.objectives.on_signal import OnSignal
from distill.objectives.schedules import Ramp
from distill.objectives.spectral import MultiResolutionSTFT, PowerLoss
from distill.objectives.tasks import Distillation, Likelihood, Task

__all__ = [
    "Contrastive",
    "Distillation",
    "ForwardKL",
    "FreeEntropyKL",
    "GaussianKL",
    "JensenShannon",
    "Likelihood",
    "LogMelDistance",
    "Loss",
    "MultiResolutionSTFT",
    "Objective",
    "OnSignal",
    "PowerLoss",
    "Ramp",
    "ReverseKL",
    "Task",
    "WeightedSum",
]
