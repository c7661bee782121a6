"""Maximum likelihood after a noisy past."""

from __future__ import annotations

import pytest
import torch

from distill import rows
from distill.contract import Batch, DataSpec
from distill.distributions import GaussianHead, MixtureOfLogistics, MuLaw
from distill.evaluation.placing import total_of
from distill.models import AutoregressiveDensity, maf, wavenet
from distill.objectives import Likelihood, Ramp
from distill.objectives.kl import total

HEADS = {"Gaussian": GaussianHead, "mixture": MixtureOfLogistics, "mu-law": MuLaw}


def teacher_of(head: type = GaussianHead) -> AutoregressiveDensity:
    torch.manual_seed(0)
    return wavenet(DataSpec(sites=None, scale=(0.1,)), head, layers=3, channels=4).double()


def sound() -> torch.Tensor:
    return 0.1 * torch.randn(3, 20, dtype=torch.float64)


@pytest.mark.parametrize("head", HEADS)
def test_only_what_has_a_past_is_scored_otherwise(head: str) -> None:
    teacher, x = teacher_of(HEADS[head]), sound()
    plain, noisy = teacher.log_prob(x), teacher.log_prob_from_noisy_past(x, 1.0)
    torch.testing.assert_close(noisy[:, 0], plain[:, 0])
    assert (noisy[:, 1:] != plain[:, 1:]).any(0).all()


def test_without_noise_the_past_is_the_true_one() -> None:
    teacher, x = teacher_of(), sound()
    torch.testing.assert_close(teacher.log_prob_from_noisy_past(x, 0.0), teacher.log_prob(x))


def test_the_noise_is_as_wide_as_the_model_expects_each_site_to_be() -> None:
    teacher, x, pasts = teacher_of(), sound().expand(200, 3, 20).flatten(0, 1), []
    teacher.conditioner.register_forward_pre_hook(lambda _, inputs: pasts.append(inputs[0]))
    teacher.log_prob_from_noisy_past(x, 2.0)
    true, noisy = pasts
    _, log_scale, _ = teacher.head.location_scale(teacher.conditioner(x))
    ratio = (noisy - true).std() / log_scale.exp().mean()
    assert ratio.item() == pytest.approx(2.0, rel=0.05)


def test_a_schedule_that_reaches_zero_ends_in_the_plain_likelihood() -> None:
    batch = Batch(sound())
    task = Likelihood(teacher_of(), history_noise=Ramp(start=3.0, stop=0.0, end=0.5))
    plain = Likelihood(task.model)(batch, 0.0).value
    assert task(batch, 0.0).value != plain
    assert task(batch, 0.5).value == plain


def test_a_model_without_a_past_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"got Flow\. Leave it at 0"):
        Likelihood(maf(DataSpec(sites=2), layers=1, hidden=[4]), history_noise=1.0)


def test_sites_that_are_left_out_need_not_be_finite():
    values = torch.tensor([[1.0, torch.nan], [3.0, -torch.inf]])
    mask = torch.tensor([[1.0, 0.0]] * 2)
    assert rows.mean(values, mask).item() == 2.0
    assert total(values, mask).item() == 2.0
    assert total_of(values, mask).tolist() == [1.0, 3.0]
