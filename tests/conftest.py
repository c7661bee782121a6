"""Every test starts from the same seed, and draws without a screen."""

from __future__ import annotations

import gc
import os

os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later search for cycles: it takes a seventh less."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
