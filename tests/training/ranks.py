"""What several processes compute together: everything here runs in each of them."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distill.contract import Batch
from distill.data.array import ArrayData
from distill.data.audio.tones import Tones
from distill.evaluation import Report
from distill.evaluation.estimate import held_out_nll
from distill.models import coupling_flow, iaf, maf, nice, wavenet, wavenet_iaf
from distill.models.classifier import Classifier
from distill.networks.fronts import LogMelFront
from distill.objectives import (
    Contrastive,
    Distillation,
    ForwardKL,
    FreeEntropyKL,
    JensenShannon,
    Likelihood,
    Loss,
    MultiResolutionSTFT,
    PowerLoss,
    ReverseKL,
    Task,
    WeightedSum,
)
from distill.objectives.classification import Classification
from distill.training import Tracker, Trainer
from distill.training.sessions import session

STEPS = 4


def points(features: bool = False) -> ArrayData:
    rng = np.random.default_rng(0)
    given = {"condition": rng.normal(size=(90, 2))} if features else None
    return ArrayData(rng.normal(size=(90, 2)), given)


def tones() -> Tones:
    # Crops longer than the clips: every batch is masked.
    return Tones(count=6, seconds=0.2, crop=1664, conditions=("mel", "label"))


def of_points(objective: Any, features: bool = False) -> tuple[Task, ArrayData]:
    data = points(features)
    teacher = maf(data.spec, 1, [8])
    with torch.no_grad():
        for weight in teacher.parameters():
            weight.add_(0.1)
    for part in teacher.modules():
        if hasattr(part, "mask_"):
            part.mask_()
    return Distillation(iaf(data.spec, 1, [8]), teacher, objective), data


def of_tones() -> tuple[Task, Tones]:
    data = tones()
    student = wavenet_iaf(data.spec, [2], channels=4)
    teacher = wavenet(data.spec, layers=2, channels=4)
    sound = {"stft": MultiResolutionSTFT([64]), "power": PowerLoss(64), "kl": FreeEntropyKL(2)}
    terms = WeightedSum({**sound, "contrastive": Contrastive(limit=50.0)})
    return Distillation(student, teacher, terms, loss_warmup=8), data


def of_density(build: Callable[..., Any], **settings: Any) -> tuple[Task, ArrayData]:
    data = points()
    return Likelihood(build(data.spec, 2, [8], **settings)), data


def of_classes(**settings: Any) -> tuple[Task, Tones]:
    data = tones()
    return Classification(Classifier(data.spec, channels=8, layers=2, **settings)), data


def of_pitch() -> tuple[Task, Tones]:
    data = Tones(count=6, seconds=0.2, crop=1664, conditions=("mel",), optional=("f0",))
    return Likelihood(wavenet(data.spec, layers=2, channels=4)), data


TASKS: dict[str, Callable[[], tuple[Task, Any]]] = {
    "likelihood": lambda: of_density(maf),
    "likelihood from outputs": lambda: of_density(coupling_flow, recompute="outputs"),
    "batch norm": lambda: of_density(maf, norm="batch"),
    "a start from the first batch": lambda: of_density(nice),
    "reverse kl": lambda: of_points(ReverseKL()),
    "forward kl": lambda: of_points(ForwardKL(pool=50)),
    "jensen-shannon": lambda: of_points(JensenShannon()),
    "contrastive": lambda: of_points(
        WeightedSum({"kl": ReverseKL(), "contrastive": Contrastive(limit=0.5)}), features=True
    ),
    "masked sounds": of_tones,
    "classifier": of_classes,
    "classifier of mels": lambda: of_classes(front=LogMelFront),
    "estimates of pitch": of_pitch,
}
WHOLE_ONLY = ("batch norm",)
QUICK = ("likelihood", "batch norm")


class Watch:
    """Keeps the weights, and the held-out likelihood, which processes share out."""

    def __init__(self, data: ArrayData | Tones) -> None:
        self.data = data
        self.seen: list[float] = []

    def __call__(self, model: torch.nn.Module) -> Report:
        if isinstance(self.data, ArrayData) and self.data.spec.sites is not None:
            self.seen.append(held_out_nll(model, self.data, size=2).mean)  # type: ignore[arg-type]
        return Report({"held_out_nll": self.seen[-1] if self.seen else 0.0})


class Losses(Tracker):
    """Keeps the numbers of every step."""

    def __init__(self) -> None:
        super().__init__(None)
        self.rows: list[dict[str, float]] = []

    def scalars(self, numbers: Any, step: int, prefix: str = "") -> None:
        self.rows.append(dict(numbers))


def train(name: str, accumulate: int = 1, size: int = 5) -> dict[str, Any]:
    """Train a task for a few steps, on 5 rows a batch: uneven shares."""
    torch.manual_seed(0)
    task, data = TASKS[name]()
    losses, watch = Losses(), Watch(data)
    # Normalized values have gradients of zero, whose rounding Adam would take for a direction.
    normalized = name in ("batch norm", "a start from the first batch")
    optimizer = torch.optim.SGD if normalized else torch.optim.Adam
    trainer = Trainer(
        steps=STEPS,
        batch_size=size,
        warmup_steps=0,
        log_every=1,
        accumulate=accumulate,
        ema=0.5,
        optimizer=optimizer,
    )
    trainer.fit(task, data, watch, losses, seed=3)
    return {
        "rows": losses.rows,
        "watched": watch.seen,
        "weights": {k: v.clone() for k, v in task.model.state_dict().items()},
    }


class SickInOne(Task):
    """A loss that is not finite where the first row of the batch lies, at one step."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.data = of_density(maf)
        self.model = self.inner.model  # type: ignore[assignment]
        self.first = points().train_batch(1, 5, 3).x[0]

    def forward(self, batch: Batch, progress: float) -> Loss:
        loss = self.inner(batch, progress)
        sick = bool((batch.x == self.first).all(1).any()) and progress == 1 / STEPS
        return Loss(loss.value * (float("nan") if sick else 1), loss.parts)


def sick() -> float:
    """Train where one process alone has a loss that is not finite; return the steps left out."""
    torch.manual_seed(0)
    task = SickInOne()
    trainer = Trainer(steps=STEPS, batch_size=5, warmup_steps=0)
    return trainer.fit(task, task.data, seed=3)["skipped_steps"]


def refused() -> str:
    """Return the error of one process that the others hear of."""
    from distill.training.ranks import Ranks, here

    ranks = here()
    assert isinstance(ranks, Ranks)
    try:
        ranks.once(lambda: [][1])
    except Exception as error:
        return type(error).__name__
    return "nothing"


def several(names: list[str]) -> dict[str, Any]:
    """Train some tasks in this process of two."""
    found: dict[str, Any] = {}
    for name in names:
        found[name] = train(name)
        if name not in WHOLE_ONLY:
            found[f"{name}, in parts"] = train(name, accumulate=2)
    found["sick"] = sick()
    found["refused"] = refused()
    return found


def start(folder: Path, names: list[str], count: int = 2) -> list[dict[str, Any]]:
    """Run `several` in so many processes; return what each found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = Path(__file__).parents[2]
    processes = []
    for rank in range(count):
        environment = {
            **os.environ,
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(home),
        }
        command = [sys.executable, __file__, str(folder / f"{rank}.pkl"), *names]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE))
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said.decode()[-3000:]
    return [pickle.loads((folder / f"{rank}.pkl").read_bytes()) for rank in range(count)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    with session(cuda=False):
        result = several(sys.argv[2:])
    Path(sys.argv[1]).write_bytes(pickle.dumps(result))
