"""Where a run's numbers, pictures and sounds go: TensorBoard, PNG and wav files, metrics.json."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import soundfile
import torch
from torch.utils.tensorboard import SummaryWriter

from distill.evaluation import Report


class Tracker:
    """Write a stage's reports under its folder.

    TensorBoard events lie in the folder itself, pictures in `figures/`, sounds in `audio/`, the
    final numbers in `metrics.json`, tables in `*.md`.

    Arguments:
        folder: The stage's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer = SummaryWriter(str(folder))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writer.close()

    def scalars(self, numbers: Mapping[str, float], step: int, prefix: str = "") -> None:
        """Record numbers at a step."""
        for name, value in numbers.items():
            self.writer.add_scalar(f"{prefix}{name}", value, step)

    def report(self, report: Report, step: int, suffix: str = "") -> None:
        """Record a whole report: scalars, figures (PNG too), audio (wav too), tables.

        Files of the same name are replaced; a suffix keeps those of a special moment apart.
        """
        self.scalars(report.scalars, step)
        for name, figure in report.figures.items():
            path = self._path("figures", name + suffix, "png")
            figure.savefig(path, dpi=110)
            self.writer.add_figure(name, figure, step, close=False)
        for name, (sound, rate) in report.audio.items():
            samples = sound.detach().cpu().float().flatten()
            soundfile.write(
                self._path("audio", name + suffix, "wav"), samples.numpy(), rate, "PCM_16"
            )
            self.writer.add_audio(name, samples.clamp(-1, 1)[None], step, rate)
        for name, table in report.tables.items():
            self._path("", name + suffix, "md").write_text(table + "\n")
            self.writer.add_text(name, table, step)
        self.writer.flush()

    def metrics(self, numbers: Mapping[str, float]) -> dict[str, float | None]:
        """Write the flat `metrics.json`; numbers that JSON lacks become null."""
        clean = {k: _plain(v) for k, v in sorted(numbers.items())}
        write_json(self.folder / "metrics.json", clean)
        return clean

    def _path(self, kind: str, name: str, suffix: str) -> Path:
        path = self.folder / kind / f"{name.replace('/', '_')}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def write_json(path: Path, values: Any) -> None:
    """Write JSON whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(values, indent=2) + "\n")
    part.replace(path)


def _plain(value: float | torch.Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
