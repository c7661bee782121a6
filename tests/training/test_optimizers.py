"""Optimizers of one's own: their groups, what they train, and what they go on from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer

import distill
from distill.instantiate import build
from distill.training import Muon

POINTS = np.random.default_rng(0).normal(size=(60, 2))
DATA = distill.as_data(POINTS)
fit = partial(distill.fit, data=DATA, batch_size=8)


def maf() -> distill.Flow:
    return distill.maf(DATA.spec, layers=2, hidden=[4])


def slower_start(parameters: Iterable[nn.Parameter]) -> Optimizer:
    first, *others = parameters
    return Adam([{"params": [first], "lr": 1e-4}, {"params": others}], lr=1e-3)


def test_groups_with_a_rate_of_their_own_keep_its_ratio(tmp_path: Path) -> None:
    rates: list[tuple[float, float]] = []

    def watched(parameters: Iterable[nn.Parameter]) -> Optimizer:
        made = slower_start(parameters)

        def note(optimizer: Optimizer, *_: object) -> None:
            one, other = (group["lr"] for group in optimizer.param_groups)
            rates.append((one, other))

        made.register_step_pre_hook(note)
        return made

    settings = {"optimizer": watched, "folder": tmp_path, "schedule": "step", "halve_every": 2}
    settings |= {"warmup_steps": 0, "learning_rate": 0.02}
    fit(maf(), steps=2, **settings)
    fit(maf(), steps=4, resume=True, **settings)
    assert [other for _, other in rates] == pytest.approx([0.02, 0.02, 0.01, 0.01])
    assert [one / other for one, other in rates] == pytest.approx([0.1] * 4)


def test_an_optimizer_of_other_parameters_is_refused() -> None:
    other = maf()
    with pytest.raises(ValueError, match=r"optimizer: .*got one of others.*of its argument"):
        fit(maf(), optimizer=lambda _: AdamW(other.parameters()), steps=2)


def test_another_kind_of_optimizer_does_not_go_on(tmp_path: Path) -> None:
    fit(maf(), folder=tmp_path, optimizer=lambda p: Adam(p), steps=2)
    with pytest.raises(ValueError, match=r"optimizer: wanted Adam, .* got SGD"):
        fit(
            maf(),
            folder=tmp_path,
            optimizer=lambda p: torch.optim.SGD(p, momentum=0.9),
            steps=4,
            resume=True,
        )


def test_an_optimizer_of_sparse_gradients_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one dense gradient.* got SparseAdam"):
        fit(maf(), optimizer=torch.optim.SparseAdam, steps=2)


def test_a_setting_that_an_optimizer_does_not_take_is_named() -> None:
    node = {"_target_": "torch.optim.Adam", "_partial_": True, "weightdecay": 0.1}
    with pytest.raises(ValueError, match=r"torch\.optim\.Adam takes no weightdecay"):
        build({"_target_": "distill.training.Trainer", "optimizer": node})


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Adam, {"fused": True, "foreach": True}),
        (Adam, {"betas": ["a", "b"]}),
        (AdamW, {"fused": True, "differentiable": True}),
        (Muon, {"betas": ["a", "b"]}),
    ],
)
def test_settings_that_an_optimizer_does_not_run_with_are_told_in_a_line(
    kind: type[Optimizer], settings: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match=f"trainer.optimizer: {kind.__name__} does not run"):
        fit(maf(), optimizer=partial(kind, **settings), steps=2)


def test_an_optimizer_that_would_raise_the_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="maximize: wanted false"):
        fit(maf(), optimizer=partial(Adam, maximize=True), steps=2)


@pytest.mark.parametrize("betas", [[], [0.9], (0.9, 0.99, 0.5)])
def test_an_optimizer_is_given_as_many_numbers_as_it_takes(betas: object) -> None:
    with pytest.raises(ValueError, match=r"optimizer.betas: wanted 2 numbers"):
        fit(maf(), optimizer=partial(Adam, betas=betas), steps=2)
