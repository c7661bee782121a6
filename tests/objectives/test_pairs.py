"""What objectives make of a pair that they can't serve, and of what went before."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from distill import as_data, distill, iaf, maf
from distill.contract import Batch, DataSpec, FeatureSpec
from distill.distributions import GaussianHead
from distill.models import AutoregressiveDensity, Flow
from distill.models.foreign import ForeignDensity
from distill.networks import MADE
from distill.objectives import (
    Contrastive,
    Distillation,
    ForwardKL,
    FreeEntropyKL,
    GaussianKL,
    JensenShannon,
    Likelihood,
    Objective,
    PowerLoss,
    Ramp,
    ReverseKL,
    WeightedSum,
)

SPEC = DataSpec(sites=2)


def student(spec: DataSpec = SPEC) -> Flow:
    torch.manual_seed(0)
    return iaf(spec, layers=1, hidden=[4], between="none")


@pytest.mark.parametrize("objective", [FreeEntropyKL(), GaussianKL()], ids=str)
def test_a_teacher_that_reads_sites_in_another_order_has_other_conditionals(
    objective: Objective,
) -> None:
    made = {order: MADE(2, [4], order=order) for order in ("natural", "reverse")}
    teachers = {k: AutoregressiveDensity(m, GaussianHead(), SPEC) for k, m in made.items()}
    Distillation(student(), teachers["natural"], objective)
    with pytest.raises(ValueError, match=r"natural order.*got order=\[1, 0\].*reverse_kl"):
        Distillation(student(), teachers["reverse"], objective)


def test_a_pool_is_of_the_teacher_at_hand() -> None:
    objective, data = ForwardKL(pool=400), as_data(torch.randn(100, 2))
    for mean in (0.0, 3.0):
        teacher = torch.distributions.MultivariateNormal(torch.full((2,), mean), torch.eye(2))
        distill(student(data.spec), teacher, data, objective, steps=1, batch_size=4)
        assert objective._samples is not None
        assert objective._samples[0].mean().item() == pytest.approx(mean, abs=0.3)


def test_a_forward_divergence_leaves_out_the_sites_that_are_to_be_left_out() -> None:
    teacher = maf(SPEC, layers=1, hidden=[4])
    torch.nn.init.constant_(next(teacher.parameters()), 0.3)
    pool = torch.randn(3, 2), torch.randn(3, 2)
    mask = torch.tensor([[0.0, 1.0]]).expand(3, 2)
    objective = ForwardKL()
    objective._teacher_samples = lambda *_: pool  # type: ignore[method-assign]
    model = student()
    loss = objective(None, model, teacher, Batch(pool[0], mask=mask), 0.0)
    wanted = (pool[1] - model.log_prob(pool[0]))[:, 1].mean()
    torch.testing.assert_close(loss.value, wanted)


def test_whole_values_have_no_sites_to_leave_out() -> None:
    task = Distillation(student(), maf(SPEC, layers=1), JensenShannon(), loss_warmup=1)
    with pytest.raises(ValueError, match=r"JensenShannon: wanted whole values.*loss_warmup=0"):
        task(Batch(torch.randn(4, 2)), 0.0)
    normal = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    with pytest.raises(ValueError, match="loss_warmup: wanted 0 with a density of another library"):
        Distillation(student(), ForeignDensity(normal, SPEC), ReverseKL(), loss_warmup=1)


@pytest.mark.parametrize("sites", [-1, 1.5, math.nan])
def test_a_warmup_is_a_number_of_sites(sites: float) -> None:
    for task in (
        lambda: Likelihood(student(), loss_warmup=sites),  # type: ignore[arg-type]
        lambda: Distillation(student(), maf(SPEC), ReverseKL(), loss_warmup=sites),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="loss_warmup: wanted a whole number of 0 or more"):
            task()


@pytest.mark.parametrize("name", ["forward_kl", "jensen_shannon", "covering_kl", "reverse_kl"])
def test_a_teacher_in_double_precision_is_matched_by_every_divergence(name: str) -> None:
    mean, data = torch.zeros(2, dtype=torch.float64), as_data(torch.randn(50, 2))
    teacher = torch.distributions.MultivariateNormal(mean, torch.eye(2, dtype=torch.float64))
    trained = distill(student(data.spec), teacher, data, name, steps=2, batch_size=8)
    assert trained.sample(3).dtype == torch.float32


def test_a_teacher_without_an_encoder_is_given_the_features() -> None:
    spec = DataSpec(sites=2, features={"side": FeatureSpec("vector", 2)})

    def given(side: torch.Tensor) -> torch.distributions.Distribution:
        return torch.distributions.Independent(torch.distributions.Normal(side, 1.0), 1)

    task = Distillation(student(spec), ForeignDensity(given, spec), ReverseKL())
    batch = Batch(torch.zeros(5, 2), {"side": torch.randn(5, 2)})
    noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    task.model.noise = lambda *_, **__: noise  # type: ignore[method-assign]
    draw = task.model.draw(noise, batch.features)
    wanted = draw.log_prob.sum(1) - given(batch.features["side"]).log_prob(draw.x)
    assert task(batch, 0.0).parts["kl"].item() == pytest.approx(wanted.mean().item(), abs=1e-5)


@pytest.mark.parametrize(
    "build",
    [
        lambda: ReverseKL(math.nan),
        lambda: ReverseKL(-1.0),
        lambda: GaussianKL(-1.0),
        lambda: FreeEntropyKL(1.5),
        lambda: ForwardKL(1.5),
        lambda: Ramp(math.nan, 1.0),
        lambda: Contrastive(gamma=math.nan),
        lambda: PowerLoss(window=0),
        lambda: PowerLoss(hop=-1),
        lambda: WeightedSum({"kl": {"objective": ReverseKL(), "weight": math.inf}}),
        lambda: WeightedSum({"kl": {"objective": ReverseKL(), "weight": Ramp(-1.0, 1.0)}}),
        lambda: ReverseKL(lambda progress: math.nan),
        lambda: Likelihood(student(), history_noise=-1.0),
    ],
)
def test_senseless_settings_of_objectives_are_refused(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"wanted a (whole )?number"):
        build()


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        (
            {"kl": {"objective": ReverseKL(), "wieght": 2.0}},
            "'kl' wanted an objective and a weight",
        ),
        ({"kl": {"weight": 2.0}}, "'kl' wanted an objective and a weight, got weight"),
        ({"kl": ReverseKL}, r"'kl' wanted an objective that is made, as ReverseKL\(\)"),
        ({"kl": {"objective": ReverseKL(), "weight": 0.0}}, "a weight above 0, got 0 for kl"),
        ([ReverseKL()], "at least one term, .* got a list"),
        ({}, "at least one term, .* got none"),
    ],
)
def test_terms_that_would_not_count_as_they_are_written_are_refused(terms: Any, says: str) -> None:
    with pytest.raises(ValueError, match=f"WeightedSum: .*{says}"):
        WeightedSum(terms)


def test_a_schedule_is_checked_wherever_it_is_read() -> None:
    falling = ReverseKL(lambda progress: 1.0 if progress in (0.0, 1.0) else -1.0)
    flow = student()
    draw = flow.draw(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"at progress 0\.5: wanted a number of 0 or more, got -1"):
        falling(draw, flow, flow, Batch(draw.x), 0.5)


def test_a_teacher_that_is_refused_is_not_frozen() -> None:
    teacher = maf(DataSpec(2), 1, [4]).train()
    with pytest.raises(ValueError, match="GaussianKL: wanted a teacher"):
        Distillation(iaf(DataSpec(2), 1, [4], between="none"), teacher, GaussianKL())
    assert teacher.training
    assert all(weight.requires_grad for weight in teacher.parameters())
