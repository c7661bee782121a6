"""Train a classifier of sounds by their labels, into RUN/classifier.

It serves the perceptual term of a student's objective (objective=perceptual), and the evaluation,
which lets it recognize copies (evaluation.classifier=RUN/classifier).
"""

from __future__ import annotations

from collections.abc import Callable

from omegaconf import DictConfig
from torch import nn

from distill.data import Data
from distill.evaluation import Evaluator, Report
from distill.evaluation.audio.recognition import held_out_accuracy
from distill.models.classifier import Classifier
from distill.objectives.classification import Classification
from distill.stages.training import train


def run(config: DictConfig) -> dict[str, float]:
    """Train the config's classifier; it is judged by its held-out accuracy."""
    return train(config, "classifier", _task, _watch)


def _task(model: nn.Module) -> Classification:
    if not isinstance(model, Classifier):
        raise ValueError(
            f"classifier: wanted a Classifier, got {type(model).__name__}. Choose one, as in "
            "classifier=gated."
        )
    return Classification(model)


def _watch(evaluator: Evaluator, data: Data) -> Callable[[nn.Module], Report]:
    def watch(model: nn.Module) -> Report:
        assert isinstance(model, Classifier)
        accuracy = held_out_accuracy(model, data)
        return Report({"accuracy": accuracy, "error_rate": 1 - accuracy})

    return watch
