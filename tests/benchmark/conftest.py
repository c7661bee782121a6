"""A machine whose roofs are measured in no time."""

from __future__ import annotations

import pytest

from distill.benchmark.calibration import Calibrator


def small_calibrator(device, dtype) -> Calibrator:
    return Calibrator(device, dtype, side=8, copied=64)


@pytest.fixture(name="small")
def _small():
    return small_calibrator
