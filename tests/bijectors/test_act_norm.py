"""What the first batch of a training does to ActNorm."""

from __future__ import annotations

import pytest
import torch

from distill.bijectors import ActNorm, Chain


def test_a_first_batch_of_one_row_has_no_scale() -> None:
    with pytest.raises(ValueError, match="ActNorm: wanted a first training batch of at least 2"):
        ActNorm(2).train().inverse(torch.randn(1, 2))


def test_a_column_that_is_constant_in_the_first_batch_keeps_its_scale() -> None:
    norm, x = ActNorm(2).train(), torch.stack([torch.randn(50) * 3, torch.full((50,), 7.0)], 1)
    norm.inverse(x)
    u, log_det = norm.inverse(x + 1e-3)
    assert u[:, 0].std(correction=0).item() == pytest.approx(1.0, rel=1e-4)
    assert u[:, 1].abs().max().item() < 0.01
    assert log_det[0, 1].item() == 0.0


@pytest.mark.parametrize("recompute", [False, "activations", "outputs"])
def test_what_was_trained_from_noise_to_data_is_not_started_anew_by_data(recompute: str) -> None:
    layer = ActNorm(2)
    chain, x = Chain([layer], recompute).train(), torch.randn(50, 2) * 3 + 7
    chain(torch.randn(5, 2))  # looked at, not trained
    assert not layer.started
    chain(torch.randn(5, 2))[0].sum().backward()
    before = layer.log_scale.clone()
    chain.inverse(x)
    assert layer.started
    assert torch.equal(layer.log_scale, before)
