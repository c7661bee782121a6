"""The comparison of whole values: teacher, student, exported files and other libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from distill.benchmark.calibration import Calibrator, MakeCalibrator
from distill.benchmark.environment import environment
from distill.benchmark.inputs import Inputs
from distill.benchmark.peers import peer_contestants
from distill.benchmark.race import race
from distill.benchmark.students import WAYS, student_contestants
from distill.benchmark.table import SpeedTable
from distill.benchmark.teachers import SAMPLERS, teacher_contestants
from distill.contract import Features
from distill.evaluation.placing import evaluating, place_of
from distill.export import Exported
from distill.models import Density, Flow


def benchmark(
    teacher: Density,
    student: Flow,
    exports: Mapping[str, Exported] | None = None,
    batch_sizes: Sequence[int] = (1, 16, 256, 4096),
    features: Features = None,
    rounds: int = 5,
    seconds: float = 2.0,
    sites: int | None = None,
    teacher_ways: Sequence[str] = tuple(SAMPLERS),
    student_ways: Sequence[str] = WAYS,
    peers: Sequence[str] = (),
    calibrator: MakeCalibrator = Calibrator,
) -> SpeedTable:
    """Compare how fast values are drawn, noise included, over batch sizes.

    Everybody draws the same number of values of the same length, in turns: round by round each one
    once, after a round that warms up. The machine's GEMM and copy rates are measured in the same
    run, and each row tells which share of them it reaches. What can't run has a row that says why.
    Where a run would take far longer than `seconds`, its row says so; those of a teacher that goes
    site after site are then computed from the time of a part.

    Arguments:
        teacher: The teacher.
        student: The student.
        exports: The student's exported files, by format.
        batch_sizes: Values drawn at once.
        features: Rows of features, repeated as often as a batch needs.
        rounds: Runs of a row that count.
        seconds: Most time for a row, about; one run always counts.
        sites: T, where the data does not fix it; a second of sound by default.
        teacher_ways: Of `distill.benchmark.teachers.SAMPLERS`.
        student_ways: Of `eager`, `compiled` (half a minute of `torch.compile`) and `exports`.
        peers: Other libraries, of `distill.benchmark.peers.PEERS`.
        calibrator: Makes what measures the machine's roofs.

    Errors:
        ValueError: Settings out of range, or unknown names.

    Example:
        >>> from distill.contract import DataSpec
        >>> from distill.models import iaf, maf
        >>> teacher, student = (make(DataSpec(sites=2), 1, [4]) for make in (maf, iaf))
        >>> small = lambda device, dtype: Calibrator(device, dtype, side=8, copied=64)
        >>> table = benchmark(teacher, student, {}, [1], student_ways=["eager"], calibrator=small)
        >>> [run for run in table.runs() if run.startswith("student")]
        ['student-eager']
    """
    if not batch_sizes or min(batch_sizes) < 1 or seconds <= 0:
        raise ValueError(
            "benchmark: wanted batch sizes >= 1 and seconds > 0, got "
            f"batch_sizes={list(batch_sizes)}, seconds={seconds}."
        )
    inputs = Inputs.of(student.spec, features, sites)
    device, dtype = place_of(student)
    with evaluating(teacher, student):
        entries = [
            *teacher_contestants(teacher, teacher_ways, inputs),
            *student_contestants(student, student_ways, exports or {}, inputs),
            *peer_contestants(peers, teacher, inputs),
        ]
        found, roofs = race(entries, batch_sizes, rounds, seconds, dtype, calibrator)
    return SpeedTable(environment(device, dtype), roofs, found, sites=inputs.sites)
