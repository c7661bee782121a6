"""Evaluate teacher and student on held-out data, into RUN/evaluate."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from distill.configure import build
from distill.models import Flow
from distill.stages.folders import device_of, root_of, saved_model, user_overrides
from distill.stages.training import write_config
from distill.training import Checkpoint, Tracker


def run(config: DictConfig) -> dict[str, float]:
    """Measure both models on the data they were trained for, or on `data.path=`."""
    device = device_of(config)
    student_file = saved_model(config, "student")
    teacher = saved_model(config, "teacher").model(config.trusted).to(device)
    student = student_file.model(config.trusted).to(device)
    assert isinstance(student, Flow)
    data = build(saved_node(config, student_file, "data"), trusted=config.trusted)
    data.check_matches(student.spec)
    evaluator = build(saved_node(config, student_file, "evaluation"), trusted=config.trusted)
    folder = root_of(config) / "evaluate"
    write_config(config, folder)
    with Tracker(folder) as tracker:
        report = evaluator.evaluate(teacher, student, data, config.seed)
        tracker.report(report, 0)
        return tracker.metrics(report.scalars)  # type: ignore[return-value]


def saved_node(config: DictConfig, saved: Checkpoint, group: str) -> DictConfig:
    """Return a node of the config that a model was trained with, under the user's overrides."""
    node = OmegaConf.create({group: saved.config[group]})
    merged = OmegaConf.merge(node, user_overrides(config, group))
    assert isinstance(merged, DictConfig)
    return merged[group]
