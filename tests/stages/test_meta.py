"""Every experiment's step and draw on `meta`, where a tensor made on another device shows at once.

Tensors there have shapes and no numbers, so models of any width cost nothing. Corpora are replaced
by batches of the same spec.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from distill.contract import Batch, DataSpec, FeatureSpec
from distill.data.audio import Tones
from distill.instantiate import build
from distill.models import Density
from distill.networks import Envelope
from distill.objectives import Distillation, Task
from tests.stages.test_conf import config, names

META = torch.device("meta")
PLAIN = [f"++{role}_trainer.optimizer.fused=false" for role in ("teacher", "student")]
# Depth shows nothing that a few layers don't.
SHALLOW = ["++teacher.layers=2", "++teacher.cycles=1", "++student.flows=[1,1]"]
LONGEST_WINDOW = 1024


class OneDevice(TorchDispatchMode):
    """Raises at an operation on tensors of several devices; single numbers may be the CPU's."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        given = [v for v in tree_leaves((args, kwargs or {})) if isinstance(v, Tensor)]
        devices = {value.device.type for value in given if value.dim()}
        assert len(devices) <= 1, f"{func} on {devices}"
        return func(*args, **(kwargs or {}))


def composed(experiment: str) -> tuple[DictConfig, DataSpec]:
    """Return an experiment's config, and a spec as its data would have."""
    evaluation = config(f"experiment={experiment}").evaluation["_target_"]
    if "Audio" not in evaluation:
        chosen = config(f"experiment={experiment}", "++data.count=300", *PLAIN)
        return chosen, build(chosen.data).spec
    chosen = config(f"experiment={experiment}", "++data.path=anywhere", *PLAIN, *SHALLOW)
    mel, wanted = build(chosen.data.mel), list(chosen.data.conditions)
    tones = Tones(
        count=3,
        seconds=0.5,
        sample_rate=chosen.data.get("sample_rate", 8000),
        crop=4 * mel.hop,
        mel=mel,
        conditions=[name for name in wanted if name != "speaker"],
        optional=list(chosen.data.optional),
    )
    speakers = {"speaker": FeatureSpec("label", 6)} if "speaker" in wanted else {}
    return chosen, replace(tones.spec, features={**tones.spec.features, **speakers})


def batch_of(spec: DataSpec, sites: int) -> Batch:
    """Return two values of at least so many sites, of whole frames."""
    sites = spec.sites or -(-sites // spec.hop) * spec.hop
    shapes = {"frames": (sites // spec.hop,), "vector": (), "label": ()}
    features = {}
    for name, f in spec.features.items():
        size = () if f.kind == "label" else (f.size,)
        kind = torch.int64 if f.kind == "label" else torch.float32
        features[name] = torch.zeros(2, *shapes[f.kind], *size, dtype=kind, device=META)
    return Batch(torch.zeros(2, sites, device=META), features or None)


def step(task: Task, chosen: DictConfig, role: str, batch: Batch) -> None:
    """Take one training step, as the trainer does."""
    trainer = build(chosen[f"{role}_trainer"])
    parameters = [p for p in task.model.parameters() if p.requires_grad]
    optimizer = trainer.optimizer(parameters)
    loss = task.train()(batch, 0.5)
    loss.value.backward()
    torch.nn.utils.clip_grad_norm_(parameters, trainer.clip)
    optimizer.step()
    assert loss.value.device == META
    assert all(p.device == META and p.grad is not None for p in parameters)


def draw(model: Density, batch: Batch) -> None:
    x = model.eval().sample(2, batch.features, sites=batch.x.shape[1], seed=0)
    assert x.device == META
    assert x.shape == batch.x.shape


@pytest.mark.parametrize("experiment", names("experiment"))
def test_every_experiment_steps_and_draws_on_one_device(experiment: str) -> None:
    chosen, spec = composed(experiment)
    teacher, student = (build(chosen[role], spec=spec) for role in ("teacher", "student"))
    teacher, student = teacher.to(META), student.to(META)
    whole, short = batch_of(spec, LONGEST_WINDOW), batch_of(spec, 1)
    with OneDevice():
        step(
            build(chosen.likelihood)(teacher, loss_warmup=chosen.loss_warmup),
            chosen,
            "teacher",
            whole,
        )
        draw(teacher, short)
        objective = build(chosen.objective).to(META)
        task = Distillation(student, teacher, objective, chosen.student_encoder, chosen.loss_warmup)
        step(task, chosen, "student", whole)
        draw(student, short)


def test_a_tensor_on_another_device_is_found() -> None:
    chosen, spec = composed("tones")
    student = build(chosen.student, spec=spec).to(META)
    for part in student.modules():
        if isinstance(part, Envelope):
            part.cosines = part.cosines.new_zeros(part.cosines.shape, device="cpu")
    with OneDevice(), pytest.raises((AssertionError, RuntimeError), match="cpu"):
        draw(student, batch_of(spec, 1))
