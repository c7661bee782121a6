"""Whether samplers have become slower than a record says, on the machine that it was made on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from distill.benchmark.calibration import Calibration
from distill.benchmark.environment import IDENTITY
from distill.benchmark.record import Record
from distill.benchmark.timing import Timing

LIMIT = 1.10
"""How many times its recorded time a sampler may take."""


@dataclass
class Verdict:
    """What a check found, a line each.

    Arguments:
        slower: Samplers that take longer than the machine's own state explains, or run no more.
        drifted: Samplers that take longer as the machine itself does now.
        good: How many are as fast as recorded, or faster.
        unseen: Names that only the record has.
    """

    slower: list[str] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)
    good: int = 0
    unseen: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Timed:
    """A row of either table: its time, and the roofs of its device in the same run."""

    timing: Timing | None
    roof: Calibration | None
    note: str


def check_machine(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Refuse to compare times of two machines.

    Arguments:
        old: The environment of a record.
        new: That of now.

    Errors:
        ValueError: Another CPU, GPU, number of threads, dtype or device.
    """
    for name in IDENTITY:
        if old.get(name) != new.get(name):
            said = name in ("threads", "device") and name in old
            remedy = f"Say {name}={old[name]}" if said else "Compare there"
            raise ValueError(
                f"check: the record was made with another {name}: {old.get(name, 'none')}, here it "
                f"is {new.get(name, 'none')}, and times of the two can't be compared. {remedy}, or "
                "measure here anew with overwrite=true."
            )


def compare(old: Record, new: Record, limit: float = LIMIT) -> Verdict:
    r"""Hold a comparison against a recorded one of the same work.

    A sampler's time is taken relative to the matrix product and to the copy of its own run: what
    takes s times as long, while they take g and c times as long, is slower by
    $\min(s / g, s / c)$, so that a slower clock or a busier memory accuses no one.

    Arguments:
        old: The record.
        new: What was measured now.
        limit: How many times its recorded time a sampler may take.

    Errors:
        ValueError: Another machine, or values of another length.
    """
    check_machine(old.speed.environment, new.speed.environment)
    if old.speed.sites != new.speed.sites:
        raise ValueError(
            f"check: the record is of values of {old.speed.sites} sites, here they have "
            f"{new.speed.sites}. Say benchmark.sites={old.speed.sites}."
        )
    verdict = Verdict()
    before, now = _timed(old), _timed(new)
    for name, was in before.items():
        if was.timing is None:
            continue
        if name not in now:
            verdict.unseen.append(name)
        else:
            _judge(verdict, name, was, now[name], limit)
    return verdict


def _judge(verdict: Verdict, name: str, was: _Timed, now: _Timed, limit: float) -> None:
    assert was.timing is not None
    if now.timing is None:
        verdict.slower.append(f"{name}: ran in {_ms(was.timing)}, and now does not: {now.note}")
        return
    times = now.timing.median / was.timing.median
    gemm, copy = _drift(was.roof, now.roof)
    clock = max(gemm, copy)
    told = (
        f"{name}: {_ms(now.timing)} in place of {_ms(was.timing)}, {times:.2f} times as long (GEMM "
        f"{gemm:.2f}, copy {copy:.2f})"
    )
    if times / clock > limit:
        verdict.slower.append(told)
    elif times > limit:
        verdict.drifted.append(told)
    else:
        verdict.good += 1


def _drift(was: Calibration | None, now: Calibration | None) -> tuple[float, float]:
    """Return how many times as long the machine's own product and copy take now."""
    if was is None or now is None:
        return 1.0, 1.0
    gemm = now.gemm.median / now.gemm_flop / (was.gemm.median / was.gemm_flop)
    copy = now.copy.median / now.copy_bytes / (was.copy.median / was.copy_bytes)
    return gemm, copy


def _timed(record: Record) -> dict[str, _Timed]:
    found = {}
    for row in record.speed.rows:
        roof = record.speed.calibrations.get(row.device)
        found[f"{row.name}, batch {row.batch}"] = _Timed(row.timing, roof, row.note)
    for chunk in record.stream.rows:
        name = f"{chunk.name}, chunks of {chunk.milliseconds} ms"
        found[name] = _Timed(chunk.timing, record.stream.calibrations.get("cpu"), chunk.note)
    return found


def _ms(timing: Timing) -> str:
    seconds = timing.median
    digits = max(0, 2 - math.floor(math.log10(1e3 * seconds))) if seconds > 0 else 0
    return f"{1e3 * seconds:.{digits}f} ms"
