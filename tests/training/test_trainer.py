"""The training loop, its averages and its checkpoints."""

from __future__ import annotations

import math
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import distill
from distill.contract import Batch
from distill.data.array import ArrayData
from distill.evaluation import Report
from distill.interruption import Interrupted
from distill.models import Density, maf
from distill.objectives import Likelihood, Loss, Task
from distill.training import Checkpoint, Tracker, Trainer, read_checkpoint

MODEL = {"_target_": "distill.models.maf", "layers": 2, "hidden": [8], "norm": "batch"}
CONFIG = {"teacher": MODEL}


@pytest.fixture
def data() -> ArrayData:
    return ArrayData(np.random.default_rng(0).normal(size=(200, 2)))


class Curve:
    """Watches a model by its NLL on a fixed batch."""

    def __init__(self, data: ArrayData) -> None:
        self.batch = data.train_batch(0, 64, 7)
        self.values: list[float] = []

    def __call__(self, model: nn.Module) -> Report:
        assert isinstance(model, Density)
        training = model.training
        model.eval()
        with torch.no_grad():
            self.values.append(-model.log_prob(self.batch.x).sum(1).mean().item())
        model.train(training)
        return Report(scalars={"held_out_nll": self.values[-1]})


def fit(
    folder: Path,
    data: ArrayData,
    trainer: Trainer,
    task: Task | None = None,
    resumed: int | None = None,
    **training: object,
) -> tuple[dict[str, float], Density, Curve]:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    task = task or Likelihood(maf(data.spec, layers=2, hidden=[8], norm="batch"))
    checkpoint = Checkpoint("teacher", CONFIG, data.spec, {}, dict(training))
    curve = Curve(data)
    with Tracker(folder, resumed) as tracker:
        numbers = trainer.fit(task, data, curve, tracker, checkpoint, folder, seed=3)
    return numbers, task.model, curve


def test_training_lowers_the_loss_and_load_gives_the_same_model(
    tmp_path: Path, data: ArrayData
) -> None:
    numbers, model, curve = fit(tmp_path, data, Trainer(steps=80, batch_size=64, ema=0.9))
    assert numbers["held_out_nll"] < curve.values[0]
    loaded = distill.load(tmp_path)
    x = torch.randn(5, 2)
    assert torch.equal(loaded.log_prob(x), model.log_prob(x))
    assert not loaded.training


def test_resume_gives_the_same_curve(tmp_path: Path, data: ArrayData) -> None:
    whole = Trainer(steps=30, batch_size=32, ema=0.9, watch_every=5, save_every=5)
    _, straight, curve = fit(tmp_path / "straight", data, whole)

    class StopError(Exception):
        pass

    class Interrupted(Likelihood):
        def forward(self, batch: Batch, progress: float) -> Loss:
            if progress >= 18 / 30:
                raise StopError
            return super().forward(batch, progress)

    torch.manual_seed(0)
    model = maf(data.spec, layers=2, hidden=[8], norm="batch")
    with pytest.raises(StopError):
        fit(tmp_path / "broken", data, whole, Interrupted(model))
    saved = read_checkpoint(tmp_path / "broken")
    assert saved.training["step"] == 15
    _, resumed, rest = fit(tmp_path / "broken", data, whole, None, **saved.training)
    assert rest.values == curve.values[-len(rest.values) :]
    for a, b in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_non_finite_steps_are_skipped_and_counted(tmp_path: Path, data: ArrayData) -> None:
    class Sick(Likelihood):
        def forward(self, batch: Batch, progress: float) -> Loss:
            loss = super().forward(batch, progress)
            bad = 3 / 10 <= progress < 5 / 10
            return Loss(loss.value * math.nan if bad else loss.value, loss.parts)

    task = Sick(maf(data.spec, layers=1, hidden=[4]))
    numbers, model, _ = fit(tmp_path, data, Trainer(steps=10, batch_size=16), task)
    assert numbers["skipped_steps"] == 2
    assert all(p.isfinite().all() for p in model.parameters())


def test_endless_non_finite_steps_end_the_training(tmp_path: Path, data: ArrayData) -> None:
    class Dead(Likelihood):
        def forward(self, batch: Batch, progress: float) -> Loss:
            loss = super().forward(batch, progress)
            return Loss(loss.value * math.nan, loss.parts)

    with pytest.raises(ValueError, match=r"50 steps in a row .* with batch 49 .*learning_rate"):
        fit(tmp_path, data, Trainer(steps=100, batch_size=8), Dead(maf(data.spec, layers=1)))


def test_a_loss_that_is_not_finite_takes_no_step_though_its_gradient_is(
    tmp_path: Path, data: ArrayData, capsys: pytest.CaptureFixture[str]
) -> None:
    class Sick(Likelihood):
        def forward(self, batch: Batch, progress: float) -> Loss:
            loss = super().forward(batch, progress)
            return Loss(loss.value + math.inf if progress == 0.5 else loss.value, loss.parts)

    task = Sick(maf(data.spec, layers=1, hidden=[4]))
    numbers, _, _ = fit(tmp_path, data, Trainer(steps=4, batch_size=16), task)
    assert numbers["skipped_steps"] == 1
    assert "1 of 4 steps were left out" in capsys.readouterr().out


def test_weights_that_are_not_finite_are_never_written(tmp_path: Path, data: ArrayData) -> None:
    class Poisoned(Likelihood):
        def forward(self, batch: Batch, progress: float) -> Loss:
            loss = super().forward(batch, progress)
            next(self.model.parameters()).data.fill_(math.nan)
            return loss

    task = Poisoned(maf(data.spec, layers=1, hidden=[4]))
    with pytest.raises(ValueError, match=r"not finite after step 1\. Lower learning_rate"):
        fit(tmp_path, data, Trainer(steps=1, batch_size=16), task)
    assert not (tmp_path / "checkpoint.pt").exists()


class Signaled(Likelihood):
    """Gets a signal in the middle of a step."""

    number = signal.SIGTERM
    at = 18 / 30

    def forward(self, batch: Batch, progress: float) -> Loss:
        if progress == self.at:
            signal.raise_signal(self.number)
        return super().forward(batch, progress)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_step_finish_and_the_run_goes_on_to_the_same_numbers(
    tmp_path: Path, data: ArrayData, number: int, code: int
) -> None:
    whole = Trainer(steps=30, batch_size=32, ema=0.9, watch_every=5, save_every=1000, log_every=1)
    straight, _, curve = fit(tmp_path / "straight", data, whole)
    torch.manual_seed(0)
    task = Signaled(maf(data.spec, layers=2, hidden=[8], norm="batch"))
    task.number = number
    with pytest.raises(Interrupted, match=r"after step 19 of 30.*resume=true") as caught:
        fit(tmp_path / "broken", data, whole, task)
    assert caught.value.code == code
    saved = read_checkpoint(tmp_path / "broken")
    assert saved.training["step"] == 19
    numbers, _, rest = fit(tmp_path / "broken", data, whole, None, **saved.training)
    assert rest.values == curve.values[-len(rest.values) :]
    assert numbers["held_out_nll"] == straight["held_out_nll"]


def test_a_signal_while_looking_leaves_at_once_and_the_look_is_made_up_for(
    tmp_path: Path, data: ArrayData
) -> None:
    trainer = Trainer(steps=10, batch_size=32, watch_every=5, patience=1)
    _, _, curve = fit(tmp_path / "straight", data, trainer)
    monkey = pytest.MonkeyPatch()
    look = Curve.__call__

    def interrupted(self: Curve, model: nn.Module) -> Report:
        if len(self.values) == 1:
            signal.raise_signal(signal.SIGINT)
        return look(self, model)

    monkey.setattr(Curve, "__call__", interrupted)
    with pytest.raises(Interrupted, match="after step 5 of 10"):
        fit(tmp_path / "broken", data, trainer)
    monkey.undo()
    training = read_checkpoint(tmp_path / "broken").training
    _, _, rest = fit(tmp_path / "broken", data, trainer, None, **training)
    assert rest.values == curve.values[1:]


def test_a_training_is_watched_five_times_by_default_and_never_on_the_way_if_told(
    tmp_path: Path, data: ArrayData
) -> None:
    _, _, curve = fit(tmp_path / "a", data, Trainer(steps=250, batch_size=4))
    assert len(curve.values) == 1 + 5  # before, and at each fifth
    _, _, curve = fit(tmp_path / "b", data, Trainer(steps=100, batch_size=4, watch_every=0))
    assert len(curve.values) == 2


def test_resumed_curves_do_not_overlap(tmp_path: Path, data: ArrayData) -> None:
    trainer = Trainer(steps=12, batch_size=32, save_every=5, log_every=1)
    fit(tmp_path, data, trainer)
    training = read_checkpoint(tmp_path).training
    folder = tmp_path / "again"
    with Tracker(folder) as tracker:  # a run that was killed in step 9, its checkpoint of step 5
        for step in range(1, 10):
            tracker.scalars({"loss": 1.0}, step, "train/")
    fit(folder, data, trainer, resumed=5, **{**training, "step": 5})
    events = EventAccumulator(str(folder)).Reload().Scalars("train/loss")
    assert [event.step for event in events] == list(range(1, 13))
    assert [event.value == 1.0 for event in events] == [True] * 5 + [False] * 7


def test_the_last_checkpoints_and_the_best_stay(tmp_path: Path, data: ArrayData) -> None:
    trainer = Trainer(steps=30, batch_size=32, save_every=5, watch_every=5, keep=3, keep_best=True)
    _, _, curve = fit(tmp_path, data, trainer)
    kept = sorted(path.name for path in tmp_path.glob("*.pt"))
    steps = [f"step_{step:08d}.pt" for step in (20, 25, 30)]
    assert kept == ["best.pt", "checkpoint.pt", *steps]
    batch = data.train_batch(0, 64, 7)
    best = -distill.load(tmp_path / "best.pt").log_prob(batch.x).sum(1).mean().item()
    assert best == pytest.approx(min(curve.values[1:-1]), abs=1e-6)
    assert read_checkpoint(tmp_path / "step_00000025.pt").training["step"] == 25
    fit(tmp_path, data, Trainer(steps=5, batch_size=32))
    assert not list(tmp_path.glob("step_*.pt"))


def test_early_stopping_returns_to_the_best_weights(tmp_path: Path, data: ArrayData) -> None:
    trainer = Trainer(
        steps=200, batch_size=32, learning_rate=0.5, watch_every=5, patience=3, schedule="constant"
    )
    numbers, _, curve = fit(tmp_path, data, trainer)
    assert numbers["steps"] < 200
    assert numbers["held_out_nll"] == pytest.approx(min(curve.values[1:-1]), abs=1e-6)


def test_an_unknown_monitor_names_what_is_watched(tmp_path: Path, data: ArrayData) -> None:
    trainer = Trainer(steps=5, batch_size=8, watch_every=1, patience=1, monitor="loss")
    with pytest.raises(ValueError, match=r"nothing named 'loss'.*held_out_nll"):
        fit(tmp_path, data, trainer)


def test_learning_rates_warm_up_and_decay() -> None:
    cosine = Trainer(steps=100, warmup_steps=10, learning_rate=1.0)
    assert cosine.rate(0) == pytest.approx(0.1)
    assert cosine.rate(50) == pytest.approx(0.5)
    assert cosine.rate(99) < 1e-3
    halved = Trainer(steps=100, warmup_steps=0, learning_rate=1.0, schedule="step", halve_every=30)
    assert [halved.rate(s) for s in (0, 29, 30, 60)] == [1.0, 1.0, 0.5, 0.25]


@pytest.mark.parametrize(
    "wrong",
    [
        {"schedule": "linear"},
        {"precision": "int8"},
        {"steps": 0},
        {"learning_rate": "fast"},
        {"learning_rate": math.nan},
        {"clip": math.nan},
        {"clip": math.inf},
        {"ema": 1.0},
        {"warmup_steps": -5},
        {"watch_every": -1},
        {"halve_every": 0, "schedule": "step"},
        {"batch_size": 2.5},
        {"save_every": 0},
        {"keep": 0},
        {"keep_best": True, "watch_every": 0},
        {"patience": 3, "watch_every": 0},
        {"optimizer": partial(torch.optim.SGD, lr=0.1)},
    ],
)
def test_nonsense_settings_are_refused_by_name(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Trainer(**wrong)
