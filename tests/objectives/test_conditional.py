"""Objectives that compare conditionals: free entropy, closed form, contrast."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal as TorchNormal
from torch.distributions import kl_divergence

from distill.bijectors import Standardize
from distill.contract import Batch, Context, DataSpec, Draw, FeatureSpec
from distill.distributions import (
    GaussianHead,
    Logistic,
    LogisticHead,
    MixtureOfLogistics,
    MuLaw,
)
from distill.models import AutoregressiveDensity, Flow, iaf, maf, wavenet, wavenet_iaf
from distill.networks import Conditioner
from distill.objectives import Contrastive, FreeEntropyKL, GaussianKL, Likelihood, ReverseKL
from distill.objectives.conditional import gaussian_kl

AUDIO = DataSpec(sites=None)


class Constant(Conditioner):
    """A conditioner that says the same of every site."""

    def __init__(self, *params: float) -> None:
        super().__init__()
        self.parameters_per_site = len(params)
        self.params = torch.nn.Parameter(torch.tensor(params, dtype=torch.float64))

    def forward(self, x: Tensor, context: Context | None = None) -> Tensor:
        return self.params.expand(*x.shape, -1)


def student_of(loc: float, scale: float, logistic: bool = False) -> Flow:
    standardize = Standardize([loc], [scale]).double()
    return Flow(standardize, AUDIO, Logistic() if logistic else None)


def draw_of(student: Flow, count: int = 200) -> tuple[Draw, Batch]:
    noise = student.base.sample((count, 50), dtype=torch.float64)
    return student.draw(noise), Batch(torch.zeros(count, 50, dtype=torch.float64))


def integral(student: Flow, teacher: AutoregressiveDensity) -> float:
    """KL of the two constant conditionals by a sum over a fine grid."""
    x = torch.linspace(-60, 60, 400_001, dtype=torch.float64)[:, None]
    log_q, log_p = student.log_prob(x), teacher.log_prob(x)
    return ((log_q.exp() * (log_q - log_p)).sum() * (x[1] - x[0])).item()


def test_the_closed_form_is_that_of_torch() -> None:
    q, p = TorchNormal(0.3, 0.2), TorchNormal(-0.1, 0.7)
    args = [torch.tensor(v).double() for v in (0.3, math.log(0.2), -0.1, math.log(0.7))]
    assert gaussian_kl(*args).item() == pytest.approx(kl_divergence(q, p).item(), rel=1e-6)


@pytest.mark.parametrize("redraws", [1, 16])
def test_monte_carlo_and_closed_form_agree_with_a_numerical_integral(redraws: int) -> None:
    torch.manual_seed(0)
    student = student_of(0.4, 0.8)
    teacher = AutoregressiveDensity(Constant(0.0, 0.1), GaussianHead(), AUDIO)
    draw, batch = draw_of(student)
    wanted = integral(student, teacher)
    closed = GaussianKL(pull=0.0)(draw, student, teacher, batch, 0.0)
    free = FreeEntropyKL(redraws)(draw, student, teacher, batch, 0.0)
    assert closed.value.item() == pytest.approx(wanted, abs=1e-6)
    assert free.value.item() == pytest.approx(wanted, abs=0.05)


def test_the_free_entropy_holds_the_constant_of_the_logistic() -> None:
    torch.manual_seed(0)
    student = student_of(0.2, 0.5, logistic=True)
    teacher = AutoregressiveDensity(Constant(0.0, 0.0), LogisticHead(), AUDIO)
    draw, batch = draw_of(student)
    free = FreeEntropyKL(16)(draw, student, teacher, batch, 0.0)
    assert free.value.item() == pytest.approx(integral(student, teacher), abs=0.03)


def test_kl_is_zero_when_the_conditionals_are_equal() -> None:
    student = student_of(0.0, 1.0)
    teacher = AutoregressiveDensity(Constant(0.0, 0.0), GaussianHead(), AUDIO)
    draw, batch = draw_of(student)
    loss = GaussianKL()(draw, student, teacher, batch, 0.0)
    assert abs(loss.value.item()) < 1e-15


def test_the_pull_has_a_gradient_where_the_clip_has_none() -> None:
    teacher = AutoregressiveDensity(Constant(0.0, -20.0), GaussianHead(), AUDIO)
    student = wavenet_iaf(AUDIO, flows=[2], channels=4, start_scale=1e-9).double()
    draw = student.draw(student.noise(2, sites=20))
    batch = Batch(torch.zeros(2, 20, dtype=torch.float64))
    flat = GaussianKL(pull=0.0)(draw, student, teacher, batch, 0.0)
    assert flat.parts["clipped"].item() == 1.0
    pulled = GaussianKL(pull=4.0)(draw, student, teacher, batch, 0.0)
    last = student.bijector.layers[0].conditioner.last.bias
    pull = torch.autograd.grad(pulled.value - flat.value, last)[0]
    assert pull[1].abs() > 1e-3


def test_audio_objectives_reach_every_parameter_of_the_student_and_none_of_the_teacher() -> None:
    teacher = wavenet(AUDIO, layers=2, channels=4).requires_grad_(False)
    student = wavenet_iaf(AUDIO, flows=[2, 2], channels=4)
    for layer in list(student.bijector.layers)[:-1]:
        torch.nn.init.normal_(layer.conditioner.last.weight)
    draw = student.draw(student.noise(2, sites=30))
    loss = FreeEntropyKL(2)(draw, student, teacher, Batch(torch.zeros(2, 30)), 0.0)
    loss.value.backward()
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None, name


@pytest.mark.parametrize(
    ("student", "teacher", "says"),
    [
        (lambda: iaf(DataSpec(sites=3)), lambda: wavenet(AUDIO, layers=1), "between=none"),
        (lambda: wavenet_iaf(AUDIO, flows=[1]), lambda: maf(DataSpec(sites=3)), "reverse_kl"),
        (
            lambda: wavenet_iaf(AUDIO, flows=[1]),
            lambda: wavenet(AUDIO, head=MuLaw, layers=1),
            "no gradient in x",
        ),
        (
            lambda: wavenet_iaf(AUDIO, flows=[1]),
            lambda: wavenet(AUDIO, head=MixtureOfLogistics, layers=1),
            "free_entropy_kl",
        ),
        (
            lambda: wavenet_iaf(AUDIO, flows=[1], base=Logistic()),
            lambda: wavenet(AUDIO, layers=1),
            "normal student base",
        ),
    ],
)
def test_unsuitable_pairs_are_refused_with_the_remedy(student, teacher, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        GaussianKL().check(student(), teacher())


def test_the_contrast_wants_features_and_rewards_a_low_score_under_wrong_ones() -> None:
    with pytest.raises(ValueError, match="features"):
        Contrastive().check(wavenet_iaf(AUDIO, flows=[1]), wavenet(AUDIO, layers=1))
    spec = DataSpec(sites=4, features={"c": FeatureSpec("vector", 1)})
    student, teacher = iaf(spec, layers=1, hidden=[4]), maf(spec, layers=1, hidden=[4])
    features = {"c": torch.randn(6, 1)}
    draw = student.draw(student.noise(6), features)
    loss = Contrastive(gamma=0.5)(draw, student, teacher, Batch(draw.x, features), 0.0)
    log_p = teacher.log_prob(draw.x, {"c": features["c"].roll(-1, 0)})
    wanted = -0.5 * (draw.log_prob - log_p).mean().item()
    assert loss.value.item() == pytest.approx(wanted, abs=1e-6)


def test_likelihood_of_a_wavenet_leaves_masked_sites_out() -> None:
    teacher = wavenet(AUDIO, layers=2, channels=4)
    x, mask = torch.randn(2, 20), torch.ones(2, 20)
    mask[:, 12:] = 0
    loss = Likelihood(teacher)(Batch(x, mask=mask), 0.0)
    assert loss.value.item() == pytest.approx(-teacher.log_prob(x)[:, :12].mean().item(), rel=1e-5)


def test_a_teacher_of_levels_is_refused_by_the_log_ratio_too() -> None:
    teacher = wavenet(AUDIO, head=MuLaw, layers=1)
    with pytest.raises(ValueError, match="sees levels, not values"):
        ReverseKL().check(wavenet_iaf(AUDIO, flows=[1]), teacher)
