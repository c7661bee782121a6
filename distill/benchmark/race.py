"""Interleaved timing: contestants take turns over one batch size after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from distill.benchmark.calibration import Calibration, Calibrator, MakeCalibrator
from distill.benchmark.counting import Cost
from distill.benchmark.row import Row
from distill.benchmark.timing import Timing, Turn, take_turns
from distill.progress import tracked

_PATIENCE = 5.0
"""How many times its time a run may be expected to take, and is still begun."""


@dataclass(frozen=True)
class Forecast:
    """Seconds that a run will take, told from a part of it.

    Arguments:
        seconds: Of the whole.
        part: What was measured, in words.
    """

    seconds: float
    part: str


@dataclass(frozen=True)
class Contestant:
    """One way to sample.

    Arguments:
        model: `teacher`, `student`, or a library's name.
        backend: How it runs.
        draw: Draws so many values; the result is thrown away.
        device: Where.
        sites: T of a value.
        cost: Its work for a batch, or that of its plain twin, where it can be counted.
        forecast: Tells the time of a batch from a part of it, for what may take minutes.
        prepare: Whether a first run may take long (a compiler's) and must not count.
        columns: Further numbers about a batch, by the name of their column.
        megabytes: Of its weights or its file.
        note: What to know about all its rows.
    """

    model: str
    backend: str
    draw: Callable[[int], object]
    device: torch.device
    sites: int | None = None
    cost: Cost | None = None
    forecast: Callable[[int], Forecast] | None = None
    prepare: bool = False
    columns: Callable[[int], Mapping[str, float]] | None = None
    megabytes: float | None = None
    note: str = ""

    def row(self, batch: int = 0, note: str = "") -> Row:
        """Return its row, as yet without a time."""
        notes = "; ".join(part for part in (note, self.note) if part)
        device = self.device.type
        return Row(self.model, self.backend, batch, device, self.sites, self.megabytes, note=notes)


def race(
    entries: Sequence[Contestant | Row],
    batch_sizes: Sequence[int],
    rounds: int = 5,
    seconds: float = 2.0,
    dtype: torch.dtype = torch.float32,
    calibrator: MakeCalibrator = Calibrator,
) -> tuple[list[Row], dict[str, Calibration]]:
    """Time all contestants at each batch size, in turns, and the machine's roofs between.

    Where a run would take far longer than `seconds`, its row says so, with the time that a part
    tells if there is one.

    Arguments:
        entries: The contestants, and rows that say why something else does not take part.
        batch_sizes: Values drawn at once.
        rounds: Runs of each that count.
        seconds: Most time for a row, about; one run always counts.
        dtype: What the roofs are measured in.
        calibrator: Makes what measures them.

    Returns:
        The rows, by contestant, and each device's roofs.
    """
    found: list[list[Row]] = [[entry] if isinstance(entry, Row) else [] for entry in entries]
    ready: dict[int, Contestant] = {}
    for i, entry in enumerate(entries):
        if isinstance(entry, Row):
            continue
        failed = _prepared(entry, batch_sizes)
        if failed is None:
            ready[i] = entry
        else:
            found[i].append(entry.row(note=reason(failed)))
    devices = dict.fromkeys(entry.device for entry in ready.values()) or {torch.device("cpu"): None}
    roofs = {device: calibrator(device, dtype) for device in devices}
    for batch in tracked(sorted(set(batch_sizes)), "compare samplers", unit="batch sizes"):
        _calibrate(roofs, rounds)
        running: dict[int, Contestant] = {}
        for i, entry in ready.items():
            row = _left_out(entry, batch, found[i], seconds)
            if row is None:
                running[i] = entry
            else:
                found[i].append(row)
        turns = [_turn(entry, batch) for entry in running.values()]
        timings = take_turns(turns, rounds, seconds=seconds)
        for (i, entry), timing in zip(running.items(), timings, strict=True):
            found[i].append(_row(entry, batch, timing, rounds))
    _calibrate(roofs, rounds)
    rows = [row for own in found for row in own]
    return rows, {device.type: roof.result() for device, roof in roofs.items()}


def reason(error: Exception) -> str:
    """Return in a line why something did not run."""
    text = " ".join(str(error).split())
    return f"unavailable: {type(error).__name__}: {text[:120]}"


def _calibrate(roofs: Mapping[torch.device, Calibrator], rounds: int) -> None:
    for roof in roofs.values():
        roof.measure(rounds)


def _prepared(entry: Contestant, batch_sizes: Sequence[int]) -> Exception | None:
    if entry.prepare:
        try:  # The largest first: a first batch of 1 would be taken for a constant.
            for batch in (max(batch_sizes), min(batch_sizes)):
                entry.draw(batch)
        except Exception as error:
            return error
    return None


def _turn(entry: Contestant, batch: int) -> Turn:
    return Turn(lambda: entry.draw(batch), entry.device)


def _left_out(entry: Contestant, batch: int, rows: Sequence[Row], seconds: float) -> Row | None:
    """Return the row of what would take too long to run, `None` for what is to run."""
    if entry.forecast is not None:
        try:
            expected = entry.forecast(batch)
        except Exception as error:
            return entry.row(batch, reason(error))
        if expected.seconds <= _PATIENCE * seconds:
            return None
        row = entry.row(batch, f"computed from the time of {expected.part}")
        return _counted(replace(row, timing=Timing((expected.seconds,), computed=True)), entry)
    measured = [(row.batch, row.timing.median) for row in rows if row.timing is not None]
    longest = _extrapolate(measured, batch)
    if longest <= _PATIENCE * seconds:
        return None
    return entry.row(batch, f"left out: about {longest:.0f} s expected")


def _row(entry: Contestant, batch: int, timing: Timing | Exception, rounds: int) -> Row:
    if isinstance(timing, Exception):
        return entry.row(batch, reason(timing))
    few = timing.runs < min(3, rounds)
    row = entry.row(batch, f"runs: {timing.runs}" if few else "")
    return _counted(replace(row, timing=timing, peak_megabytes=_peak(entry, batch)), entry)


def _counted(row: Row, entry: Contestant) -> Row:
    """Add what is told beside the time; a number that can't be had is missed by a note only."""
    try:
        if entry.cost is not None:
            row = replace(row, work=entry.cost(row.batch))
        if entry.columns is not None and row.timing is not None and not row.timing.computed:
            row = replace(row, extra=dict(entry.columns(row.batch)))
    except Exception as error:
        row = replace(row, note="; ".join(part for part in (row.note, reason(error)) if part))
    return row


def _peak(entry: Contestant, batch: int) -> float | None:
    """Return the most memory that a run takes, where the device keeps account of it."""
    if entry.device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(entry.device)
    entry.draw(batch)
    return torch.cuda.max_memory_allocated(entry.device) / 1e6


def _extrapolate(measured: Sequence[tuple[int, float]], batch: int) -> float:
    """Continue the line through the last two measured points; at least the last one."""
    if len(measured) < 2:
        return 0.0
    (n0, t0), (n1, t1) = measured[-2:]
    return max(t1, t1 + (t1 - t0) / (n1 - n0) * (batch - n1))
