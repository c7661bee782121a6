"""The moving average of weights."""

from __future__ import annotations

import pytest
from torch import nn

from distill.training import EMA


def test_the_average_forgets_its_start_and_follows_buffers() -> None:
    layer = nn.BatchNorm1d(1)
    ema = EMA(layer, decay=0.5)
    layer.weight.data.fill_(3.0)
    layer.running_mean.fill_(7.0)
    for _ in range(60):
        ema.update()
    assert ema.model.weight.item() == pytest.approx(3.0, abs=1e-6)
    assert ema.model.running_mean.item() == 7.0
    with pytest.raises(ValueError, match="decay"):
        EMA(layer, decay=1.0)


def test_running_statistics_are_averaged_as_the_weights_are() -> None:
    layer = nn.BatchNorm1d(1)
    ema = EMA(layer, decay=0.5)
    values = (4.0, -2.0, 8.0)
    expected, decays = 0.0, (1 / 10, 2 / 11, 3 / 12)
    for value, decay in zip(values, decays, strict=True):
        layer.running_mean.fill_(value)
        layer.num_batches_tracked += 1
        ema.update()
        expected = decay * expected + (1 - decay) * value
    assert ema.model.running_mean.item() == pytest.approx(expected)
    assert abs(expected - values[-1]) > 1  # a copy would be the last
    assert ema.model.num_batches_tracked.item() == 3
