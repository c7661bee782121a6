"""What a signal finds a training at, and what a resumed one makes of it."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import torch

import distill
from distill.data import Data
from distill.evaluation import Evaluator, Report
from distill.interruption import Interrupted
from distill.models import Density
from distill.training import read_checkpoint

DATA = distill.as_data(np.random.default_rng(0).normal(size=(100, 2)))
SETTINGS = {"steps": 12, "batch_size": 8, "save_every": 4, "loss_warmup": 0}


class Impatient(torch.optim.Adam):
    """Is stopped by two signals in the middle of its sixth step."""

    taken = 0

    def step(self, closure=None):
        self.taken += 1
        if self.taken == 6:
            with torch.no_grad():
                self.param_groups[0]["params"][0].add_(1.0)
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        return super().step(closure)


def trained(folder: Path, **settings: object) -> Density:
    torch.manual_seed(0)
    model = distill.maf(DATA.spec, layers=1, hidden=[4])
    return distill.fit(model, DATA, folder=folder, **{**SETTINGS, **settings})


def test_a_second_signal_leaves_within_a_step_and_half_a_step_is_never_saved(tmp_path):
    straight = trained(tmp_path / "straight", optimizer=torch.optim.Adam)
    # How an optimizer is called is compared when resuming.
    named = type("Adam", (Impatient,), {"__module__": "torch.optim.adam", "__qualname__": "Adam"})
    with pytest.raises(Interrupted, match="left at once within step 6, and saved nothing"):
        trained(tmp_path / "cut", optimizer=named)
    assert read_checkpoint(tmp_path / "cut").training["step"] == 4
    resumed = trained(tmp_path / "cut", optimizer=torch.optim.Adam, resume=True)
    for mine, theirs in zip(resumed.parameters(), straight.parameters(), strict=True):
        assert torch.equal(mine, theirs)


class Counting(Evaluator):
    """Tells the number of the look, as what is done every second time goes by it."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop

    def watch(self, model: Density, data: Data, seed: int, teacher=None) -> Report:
        self.looks += 1
        if self.looks == self.stop:
            signal.raise_signal(signal.SIGINT)
        return Report({"look": float(self.looks)})


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_resumed_training_goes_on_counting_its_looks(tmp_path, stop):
    whole, cut, resumed = Counting(), Counting(stop), Counting()
    trained(tmp_path / "whole", watch_every=5, evaluator=whole)
    with pytest.raises(Interrupted):
        trained(tmp_path / "cut", watch_every=5, evaluator=cut)
    trained(tmp_path / "cut", watch_every=5, evaluator=resumed, resume=True)
    assert resumed.looks == whole.looks == 4
