"""Speed comparisons as TensorBoard reads them best: one run per model and backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch.utils.tensorboard import SummaryWriter

from distill.benchmark.row import Row
from distill.benchmark.stream_row import StreamRow
from distill.benchmark.stream_table import StreamTable
from distill.benchmark.table import SpeedTable

R = TypeVar("R")
RATE, TIME, SHARE = "samples_per_second", "milliseconds_per_batch", "gemm_share"
MEDIAN, LATE, FACTOR = "latency_p50_ms", "latency_p99_ms", "real_time_factor"


def write_runs(table: SpeedTable, folder: str | Path) -> list[Path]:
    """Write `speed/<model>-<backend>` below a folder, each with scalars over batch size.

    Each run carries hyper-parameters (for the HParams page), notes on what did not run as text, and
    a layout that draws all runs in one chart.

    Arguments:
        table: The comparison.
        folder: Of the stage's own events.
    """

    def write(writer: SummaryWriter, rows: list[Row]) -> None:
        for row in rows:
            if row.timing is not None:
                writer.add_scalar(RATE, row.timing.rate(row.batch), row.batch)
                writer.add_scalar(TIME, row.timing.median * 1e3, row.batch)
                if (share := table.shares(row)[0]) is not None:
                    writer.add_scalar(SHARE, share, row.batch)
            if row.note:
                writer.add_text("notes", row.note, row.batch)
        best = max((row.rate or 0.0 for row in rows), default=0.0)
        settings = {
            "model": rows[0].model,
            "backend": rows[0].backend,
            "sites": table.sites or 0,
            "threads": int(table.environment.get("threads", 0)),
            "device": rows[0].device,
            "dtype": table.environment.get("dtype", ""),
        }
        _describe(writer, "speed", (RATE, TIME, SHARE), settings, {"best_samples_per_second": best})

    return _written("speed", table.runs(), folder, write)


def write_stream_runs(table: StreamTable, folder: str | Path) -> list[Path]:
    """Write `stream/<model>-<backend>` below a folder, each with scalars over chunk milliseconds.

    Each run carries hyper-parameters, notes and a layout, as `write_runs` has them.

    Arguments:
        table: The comparison.
        folder: Of the stage's own events.
    """

    def write(writer: SummaryWriter, rows: list[StreamRow]) -> None:
        for row in rows:
            if row.note:
                writer.add_text("notes", row.note, row.milliseconds)
            if row.timing is None:
                continue
            writer.add_scalar(MEDIAN, 1e3 * row.percentile(50), row.milliseconds)
            writer.add_scalar(LATE, 1e3 * row.percentile(99), row.milliseconds)
            writer.add_scalar(FACTOR, row.factor, row.milliseconds)
        settings = {
            "model": rows[0].model,
            "backend": rows[0].backend,
            "threads": int(table.environment.get("threads", 0)),
            "megabytes": rows[0].megabytes or 0.0,
        }
        best = max(row.factor for row in rows)
        kinds, found = (MEDIAN, LATE, FACTOR), {"best_real_time_factor": best}
        _describe(writer, "stream", kinds, settings, found)

    return _written("stream", table.runs(), folder, write)


def _written(
    chart: str,
    runs: Mapping[str, list[R]],
    folder: str | Path,
    write: Callable[[SummaryWriter, list[R]], None],
) -> list[Path]:
    """Have each run's rows written, in a folder of its own."""
    paths = {name: Path(folder) / chart / name for name in runs}
    for name, path in paths.items():
        with SummaryWriter(str(path)) as writer:
            write(writer, runs[name])
    return list(paths.values())


def _describe(
    writer: SummaryWriter,
    chart: str,
    kinds: tuple[str, ...],
    settings: dict[str, Any],
    best: dict[str, float],
) -> None:
    """Write the layout that draws all runs in one chart, and the run's hyper-parameters."""
    writer.add_custom_scalars({chart: {kind: ["Multiline", [f"^{kind}$"]] for kind in kinds}})
    writer.add_hparams(settings, best, run_name=".")
