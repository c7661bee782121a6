"""Batches that a thread makes ready are those that are made when they are asked for."""

from __future__ import annotations

import threading

import pytest
import torch

from distill.contract import Batch
from distill.data import Moons
from distill.training import Trainer
from distill.training.batches import Batches

CPU = torch.device("cpu")


class Watched(Moons):
    """Data that notes who asked for which step."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, str]] = []

    def train_batch(self, step: int, size: int, seed: int) -> Batch:
        self.asked.append((step, threading.current_thread().name))
        if step == 7:
            raise ValueError("no seventh batch")
        return super().train_batch(step, size, seed)


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_batches_ahead_are_those_of_their_steps(ahead: int) -> None:
    data = Watched()
    with Batches(data, 4, 5, CPU, ahead) as batches:
        for step in (0, 1, 2, 6, 2, 3):  # a jump, and back
            assert torch.equal(batches.take(step).x, Moons().train_batch(step, 4, 5).x)
    mine = threading.current_thread().name
    assert all((name == mine) == (ahead == 0) for _, name in data.asked)


def test_steps_in_a_row_are_asked_for_once_and_no_further_than_ahead() -> None:
    data = Watched()
    with Batches(data, 4, 0, CPU, ahead=2) as batches:
        for step in range(4):
            batches.take(step)
    steps = [step for step, _ in data.asked]
    assert steps == list(range(len(steps)))
    assert 4 <= len(steps) <= 6


def test_an_error_of_the_data_comes_with_its_own_step() -> None:
    with Batches(Watched(), 4, 0, CPU, ahead=3) as batches:
        for step in (4, 5, 6):
            batches.take(step)
        with pytest.raises(ValueError, match="no seventh batch"):
            batches.take(7)


def test_a_training_is_the_same_with_batches_made_ahead() -> None:
    from distill import fit, maf

    data = Moons()
    torch.manual_seed(0)
    models = [maf(data.spec, layers=1, hidden=[8]) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    for model, prefetch in zip(models, (0, 2), strict=True):
        fit(model, data, steps=5, batch_size=16, prefetch=prefetch)
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(one, other)
    for ahead in (-1, 10**6):  # a million batches do not fit into memory
        with pytest.raises(ValueError, match=r"trainer\.prefetch"):
            Trainer(prefetch=ahead)
