"""Where a run's numbers, pictures and sounds go: TensorBoard, PNG and wav files, metrics.json."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from torch.utils.tensorboard import SummaryWriter

from distill.evaluation import Report
from distill.files import atomic_write, is_full, write_json, write_text

_DPI = 110


class Tracker:
    """Write a stage's reports under its folder.

    TensorBoard events lie in the folder itself, pictures in `figures/`, sounds in `audio/`, the
    final numbers in `metrics.json`, tables in `*.md`.

    Arguments:
        folder: The stage's folder; `None` writes nothing.
        resumed: The step that a training goes on from; curves of later steps are forgotten.
    """

    def __init__(self, folder: Path | None, resumed: int | None = None) -> None:
        self.folder = folder
        purge = None if resumed is None else resumed + 1
        self._hook = threading.excepthook
        self.writer: SummaryWriter | None = None
        if folder is not None:
            threading.excepthook = self._unless_full  # before: the writer's thread writes at once
            self.writer = SummaryWriter(str(folder), purge_step=purge)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self.writer:
                self.writer.close()
        finally:
            if self.folder is not None:
                threading.excepthook = self._hook

    def _unless_full(self, args: threading.ExceptHookArgs) -> None:
        """Leave a full disk, which TensorBoard's thread meets, to the call that raises it next."""
        if not is_full(args.exc_value):
            self._hook(args)

    def scalars(self, numbers: Mapping[str, float], step: int, prefix: str = "") -> None:
        """Record numbers at a step."""
        if self.writer is None:
            return
        for name, value in numbers.items():
            self.writer.add_scalar(f"{prefix}{name}", value, step)

    def text(self, name: str, text: str, step: int) -> None:
        """Record a text."""
        if self.writer is not None:
            # Paths need not be UTF-8; what TensorBoard writes must be.
            told = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            self.writer.add_text(name, told, step)

    def report(self, report: Report, step: int, suffix: str = "") -> None:
        """Record a whole report: scalars, figures (PNG too), audio (wav too), tables.

        Files of the same name are replaced; a suffix keeps those of a special moment apart.
        """
        if self.writer is None:
            return
        self.scalars(report.scalars, step)
        for name, figure in report.figures.items():
            path, drawn = self._path("figures", name + suffix, "png"), _drawn(figure)
            with atomic_write(path) as draft:
                imsave(draft, drawn, format="png")
            self.writer.add_image(name, drawn, step, dataformats="HWC")
        for name, (sound, rate) in report.audio.items():
            samples = sound.detach().cpu().float().flatten()
            with atomic_write(self._path("audio", name + suffix, "wav")) as draft:
                soundfile.write(draft, samples.numpy(), rate, "PCM_16")
            self.writer.add_audio(name, samples.clamp(-1, 1)[None], step, rate)
        for name, table in report.tables.items():
            write_text(self._path("", name + suffix, "md"), table + "\n")
            self.writer.add_text(name, table, step)
        self.writer.flush()

    def metrics(self, numbers: Mapping[str, float]) -> dict[str, float | None]:
        """Write the flat `metrics.json`; numbers that JSON lacks become null."""
        clean = {k: _plain(v) for k, v in sorted(numbers.items())}
        if self.folder is not None:
            write_json(self.folder / "metrics.json", clean)
        return clean

    def _path(self, kind: str, name: str, suffix: str) -> Path:
        assert self.folder is not None
        return self.folder / kind / f"{name.replace('/', '_')}.{suffix}"


def _drawn(figure: Figure) -> np.ndarray:
    """Return the pixels `(height, width, 3)`, drawn once for file and events."""
    figure.set_dpi(_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _plain(value: float | torch.Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
