"""Evaluation: estimates with standard errors, coverage, pictures."""

from distill.evaluation.coverage import Coverage, Neighborhood, coverage
from distill.evaluation.divergence import (
    Scores,
    forward_kl,
    jensen_shannon,
    reverse_kl,
    score_draws,
    score_samples,
)
from distill.evaluation.estimate import Estimate, held_out_nll
from distill.evaluation.evaluator import Evaluator, Report
from distill.evaluation.points import PointsEvaluator

__all__ = [
    "Coverage",
    "Estimate",
    "Evaluator",
    "Neighborhood",
    "PointsEvaluator",
    "Report",
    "Scores",
    "coverage",
    "forward_kl",
    "held_out_nll",
    "jensen_shannon",
    "reverse_kl",
    "score_draws",
    "score_samples",
]
