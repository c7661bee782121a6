"""Which precision a training computes in, and that it keeps it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from distill.contract import Batch, DataSpec
from distill.data.array import ArrayData
from distill.evaluation import Report
from distill.models import coupling_flow, iaf, maf, wavenet, wavenet_iaf
from distill.objectives import Distillation, Likelihood, Loss, ReverseKL
from distill.training import Checkpoint, Tracker, Trainer, read_checkpoint
from distill.training.precision import choose, has_bfloat16_units

CPU, SPEC = torch.device("cpu"), DataSpec(sites=4)
WIDE = partial(wavenet, SPEC, layers=1, channels=48)
SMALL = partial(wavenet, SPEC, layers=1, channels=8)
UNITS = "distill.training.precision.has_bfloat16_units"


@pytest.fixture(params=[True, False], ids=["units", "no units"])
def units(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(UNITS, lambda device: request.param)
    return request.param


def distillation(channels: int) -> Distillation:
    student = wavenet_iaf(SPEC, [1], 1, channels=channels)
    return Distillation(student, WIDE(), ReverseKL())


TASKS: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "maf": (lambda: Likelihood(maf(SPEC, layers=1, hidden=[64])), False),
    "iaf": (lambda: iaf(SPEC, layers=1, hidden=[64]), False),
    "real_nvp": (lambda: coupling_flow(SPEC, layers=1), False),
    "small wavenet": (lambda: Likelihood(SMALL()), False),
    "wide wavenet": (lambda: Likelihood(WIDE()), True),
    "wide pair": (lambda: distillation(48), True),
    "small student of a wide teacher": (lambda: distillation(8), False),
}


@pytest.mark.parametrize("name", TASKS)
def test_auto_takes_bfloat16_where_hardware_and_networks_gain(name: str, units: bool) -> None:
    build, gains = TASKS[name]
    chosen = choose("auto", build(), CPU)
    assert chosen.name == ("bfloat16" if units and gains else "float32")
    if not units:
        assert str(chosen) == "precision: float32 (this CPU has no units for bfloat16)"
    elif gains:
        assert str(chosen) == "precision: bfloat16 (this CPU has units for it)"


def test_what_is_asked_is_taken_and_what_was_begun_is_kept(units: bool) -> None:
    slow = "" if units else "; this CPU has no units for it, so it is slow"
    asked = choose("bfloat16", SMALL(), CPU)
    assert str(asked) == f"precision: bfloat16 (as asked{slow})"
    assert str(choose("float32", WIDE(), CPU)) == "precision: float32 (as asked)"
    kept = choose("auto", SMALL(), CPU, kept="bfloat16")
    assert str(kept) == f"precision: bfloat16 (as the run was begun{slow})"
    assert choose("auto", WIDE(), CPU, kept="float32").name == "float32"


def test_a_build_that_cannot_tell_has_no_units(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> bool:
        raise AttributeError("_is_mkldnn_bf16_supported")

    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", gone, raising=False)
    assert not has_bfloat16_units("cpu")


class Watched(Likelihood):
    """Notes whether its steps are in mixed precision."""

    mixed: bool | None = None

    def forward(self, batch: Batch, progress: float) -> Loss:
        self.mixed = torch.is_autocast_enabled("cpu")
        return super().forward(batch, progress)


def fit(folder: Path, task: Watched, steps: int = 1, **training: object) -> Checkpoint:
    data = ArrayData(np.random.default_rng(0).normal(size=(50, 4)))
    folder.mkdir(exist_ok=True)
    checkpoint = Checkpoint("teacher", {}, data.spec, {}, dict(training))
    with Tracker(folder) as tracker:
        trainer = Trainer(steps=steps, batch_size=4)
        trainer.fit(task, data, lambda model: Report(), tracker, checkpoint, folder)
    return read_checkpoint(folder)


def test_a_training_goes_on_in_the_precision_that_it_was_begun_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(UNITS, lambda device: True)
    first = Watched(WIDE())
    saved = fit(tmp_path, first)
    assert first.mixed
    assert saved.training["precision"] == "bfloat16"
    assert capsys.readouterr().out.count("precision: bfloat16 (this CPU has units for it)\n") == 1

    monkeypatch.setattr(UNITS, lambda device: False)
    again = Watched(WIDE())
    saved = fit(tmp_path, again, steps=2, **saved.training)
    assert again.mixed
    assert (saved.training["step"], saved.training["precision"]) == (2, "bfloat16")
    assert "has no units for it, so it is slow" in capsys.readouterr().out


def test_a_model_that_does_not_gain_trains_in_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UNITS, lambda device: True)
    task = Watched(maf(SPEC, layers=1, hidden=[8]))
    assert fit(tmp_path, task).training["precision"] == "float32"
    assert task.mixed is False
