"""What the benchmark stage compares: a run's models and exports, and their evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from omegaconf import DictConfig, OmegaConf

from distill.benchmark.inputs import cut, rows, sites_of
from distill.benchmark.settings import BenchmarkSettings
from distill.contract import Features
from distill.export import Exported, format_of, load
from distill.files import sha256_of
from distill.instantiate import build
from distill.models import Density, Flow
from distill.stages.differences import fingerprint
from distill.stages.export import FILES
from distill.stages.export_file import check_current
from distill.stages.folders import (
    device_of,
    note_other_teacher,
    root_of,
    saved_model,
    saved_node,
    student_of,
    weights_of,
)
from distill.stages.manifest import COMPLETE, read_manifest
from distill.stages.work import numbers_of
from distill.training import Checkpoint


@dataclass
class Benchmarked:
    """What is to be measured.

    Arguments:
        saved: Checkpoints of `teacher` and `student`.
        teacher: The teacher, where it is to run.
        student: The student, likewise.
        files: Exported files of the student.
        exports: These, loaded, by format.
        features: Held-out features, as many rows as the largest batch or the data has.
        quality: `metrics.json` of an evaluation of the same weights; empty without one.
        made_from: Hashes of the models and of the exported files.
        data: The node that features come from; without features that of the student's training.
        trusted: Packages that a checkpoint may name.
    """

    saved: dict[str, Checkpoint]
    teacher: Density
    student: Flow
    files: list[Path]
    exports: dict[str, Exported]
    features: Features
    quality: dict[str, float]
    made_from: dict[str, str]
    data: Any
    trusted: list[str]

    @classmethod
    def of(cls, config: DictConfig, settings: BenchmarkSettings) -> Self:
        """Read a run.

        Errors:
            FileNotFoundError: It lacks a model.
            ValueError: An export is of another student.
        """
        device, root = device_of(config), root_of(config)
        saved = {role: saved_model(config, role) for role in ("student", "teacher")}
        note_other_teacher(config, saved["student"], saved["teacher"])
        student = student_of(config, saved["student"]).to(device)
        teacher = saved["teacher"].model(config.trusted).to(device)
        features, used = None, saved["student"].config.get("data")
        if used is not None or student.spec.features:
            node = saved_node(config, saved["student"], "data")
        if student.spec.features:
            data = build(node, trusted=config.trusted)
            used = OmegaConf.to_container(node, resolve=True)
            held_out = next(iter(data.held_out(max(settings.batch_sizes))))
            length = sites_of(student.spec, settings.sites)
            features = cut(held_out.features, student.spec, length)
        weights = {role: weights_of(one) for role, one in saved.items()}
        files = sorted(path for path in (root / "export").glob(FILES) if path.suffix != ".json")
        exports = {format_of(path): load(path) for path in files}
        for exported in exports.values():
            check_current(exported, weights["student"], root)
        return cls(
            saved,
            teacher,
            student,
            files,
            exports,
            features,
            _quality(root, weights),
            {**weights, "exports": fingerprint({path.name: sha256_of(path) for path in files})},
            used,
            list(config.trusted),
        )

    @property
    def first_features(self) -> Features:
        """Features of one signal, for streams."""
        return rows(self.features, 1)

    @property
    def reduced(self) -> list[str]:
        """Rows of exports whose arithmetic is of reduced precision."""
        return [
            f"student-{name}"
            for name, exported in self.exports.items()
            if exported.metadata.precision != "full"
        ]

    def make(self, role: str, *, sites: int | None = None, block: int | None = None) -> Density:
        """Build a model as the run's was, with random weights, perhaps of another size.

        Errors:
            ValueError: It can't have that size.
        """
        saved = self.saved[role]
        node, spec = saved.config[role], saved.spec
        if block is not None:
            node = {**node, "block": block}
        if sites is not None:
            spec = replace(spec, sites=sites, loc=spec.loc[:1], scale=spec.scale[:1])
        torch.manual_seed(0)
        model = build(node, trusted=self.trusted, spec=spec)
        return model.to(next(self.student.parameters()).device).eval()


def _quality(root: Path, weights: Mapping[str, str]) -> dict[str, float]:
    """Return the numbers of RUN/evaluate, if it evaluated these very weights."""
    folder = root / "evaluate"
    record = read_manifest(folder)
    if record is None or record.state != COMPLETE:
        return {}
    if any(record.made_from.get(role) != own for role, own in weights.items()):
        print(f"{folder}: is of other weights, so its numbers don't stand beside the speeds")
        return {}
    return numbers_of(folder)
