"""Teachers of other libraries: what serves, and what is said of what does not."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Exponential, Independent, Normal, Uniform

import distill

POINTS = np.random.default_rng(0).normal(size=(60, 2))
SPEC = distill.as_data(POINTS).spec


class Plain(nn.Module):
    """As the flows of normflows are: samples come with their log-prob."""

    def log_prob(self, x: Tensor) -> Tensor:
        return -x.square().sum(-1) / 2

    def sample(self, num_samples: int = 1) -> tuple[Tensor, Tensor]:
        x = torch.randn(num_samples, 2)
        return x, self.log_prob(x)


class Unsampled(nn.Module):
    log_prob = Plain.log_prob


class Detached(Unsampled):
    def log_prob(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return super().log_prob(x)


class OfNumPy:
    def log_prob(self, x: Tensor) -> Any:
        return -(x.detach().numpy() ** 2).sum(-1)


def taught(teacher: Any, objective: str = "reverse_kl") -> distill.Flow:
    student = distill.iaf(SPEC, layers=1, hidden=[4])
    return distill.distill(student, teacher, POINTS, objective, steps=2, batch_size=8)


def test_samples_that_come_with_their_log_prob_are_taken() -> None:
    assert distill.ForeignDensity(Plain(), SPEC).sample(3).shape == (3, 2)
    taught(Plain(), "forward_kl")


def test_a_teacher_of_bounded_values_serves_forward_kl_by_its_own_samples() -> None:
    taught(Independent(Uniform(-torch.ones(2), torch.ones(2)), 1), "forward_kl")


def test_values_outside_of_the_support_are_refused_where_a_library_switched_checks_off() -> None:
    unchecked = Exponential(torch.ones(2), validate_args=False)
    with pytest.raises(ValueError, match=r"outside of its support, .*forward_kl alone"):
        taught(Independent(unchecked, 1, validate_args=False))


@pytest.mark.parametrize(
    ("teacher", "objective", "named"),
    [
        (Detached(), "reverse_kl", "wanted a log-prob with a gradient in x"),
        (Unsampled(), "forward_kl", "without sample.* as reverse_kl"),
        (OfNumPy(), "reverse_kl", "a tensor, got ndarray"),
        (Plain, "reverse_kl", "got the class Plain"),
        (partial(Plain.log_prob, None), "reverse_kl", r"an object that has log_prob"),
        (Independent(Exponential(torch.ones(2)), 1), "reverse_kl", "serves forward_kl alone"),
        (Independent(Normal(torch.zeros(3), 1.0), 1), "reverse_kl", "values of shape .8, 2."),
    ],
)
def test_a_teacher_that_can_not_serve_is_told_in_a_line(
    teacher: Any, objective: str, named: str
) -> None:
    with pytest.raises(ValueError, match=named) as told:
        taught(teacher, objective)
    assert "\n" not in str(told.value)
