"""Evaluation of sound: copies of held-out clips against the clips."""

from distill.evaluation.audio.compare import Comparator
from distill.evaluation.audio.evaluator import AudioEvaluator

__all__ = ["AudioEvaluator", "Comparator"]
