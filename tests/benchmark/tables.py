"""Small tables by hand, shared by the tests of this room."""

from __future__ import annotations

from distill.benchmark.calibration import Calibration
from distill.benchmark.counting import Work
from distill.benchmark.record import Record
from distill.benchmark.row import Row
from distill.benchmark.stream_row import StreamRow
from distill.benchmark.stream_table import StreamTable
from distill.benchmark.table import SpeedTable
from distill.benchmark.timing import Timing

FACTS = {"CPU": "a | b", "threads": "2", "dtype": "float32", "device": "cpu"}


def roof(gemm: float = 0.1, copy: float = 0.2) -> Calibration:
    """A GEMM of 1000 FLOP and a copy of 400 bytes, which take so many seconds."""
    return Calibration(Timing((gemm,)), 1000.0, Timing((copy,)), 400.0)


def a_speed_table() -> SpeedTable:
    table = SpeedTable(dict(FACTS), {"cpu": roof()}, sites=3)
    for backend, seconds in {"plain": 8.0, "incremental": 2.0}.items():
        computed = Timing((seconds,), computed=True)
        table.rows.append(Row("teacher", backend, 4, sites=3, timing=computed))
    student = {"sites": 3, "megabytes": 1.5, "work": Work(400.0, 200.0)}
    times = Timing((0.4, 0.5, 0.6))
    table.rows += [
        Row("student", "onnx", 4, timing=times, **student),
        Row("student", "onnx", 8, timing=Timing((0.8,)), **student),
        Row("student", "compiled", 0, note="unavailable: no compiler"),
        Row("vocos", "24kHz", 4, sites=6, timing=Timing((1.0,)), extra={"rounds": 7.0}),
    ]
    table.quality = {"student-onnx": {"STFT": 1.25}}
    return table


def a_stream_table() -> StreamTable:
    row = StreamRow(
        "student",
        "onnx",
        chunk=0.02,
        sites=160,
        timing=Timing((0.002, 0.002, 0.002, 0.004)),
        work=Work(16.0, 0.4),
        error=1e-7,
        megabytes=1.5,
        load=0.05,
    )
    broken = StreamRow("student", "aoti", note="unavailable: another | torch")
    return StreamTable(
        dict(FACTS), {"cpu": roof()}, [row, broken], {"student-onnx": {"STFT": 1.25}}
    )


def a_record() -> Record:
    return Record({"repeats": 3}, a_speed_table(), a_stream_table())
