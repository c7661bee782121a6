from __future__ import annotations

from dataclasses import replace

import pytest

from distill.benchmark.check import compare
from distill.benchmark.record import Record, read_record
from distill.benchmark.timing import Timing
from tests.benchmark.tables import a_record, roof


def remeasured(times: float, gemm: float = 1.0, copy: float = 1.0, only: str = "") -> Record:
    """The record made again, where samplers and the machine take so many times as long."""
    record = a_record()
    for table in (record.speed, record.stream):
        table.calibrations = {"cpu": roof(0.1 * gemm, 0.2 * copy)}
        table.rows = [
            replace(row, timing=Timing(tuple(times * t for t in row.timing.times)))
            if row.timing and only in row.name
            else row
            for row in table.rows
        ]
    return record


@pytest.mark.parametrize(
    ("times", "gemm", "copy", "slower", "drifted"),
    [
        (1.0, 1.0, 1.0, 0, 0),
        (1.09, 1.0, 1.0, 0, 0),
        (1.2, 1.0, 1.0, 6, 0),
        (1.2, 1.2, 1.0, 0, 6),  # a slower clock
        (1.2, 1.0, 1.2, 0, 6),  # a busier memory
        (1.5, 1.2, 1.2, 6, 0),  # more than either explains
        (1.0, 0.8, 0.8, 6, 0),  # a faster clock, of which nothing is seen
        (1.0, 0.8, 1.0, 0, 0),
        (0.5, 1.0, 1.0, 0, 0),
    ],
)
def test_a_slower_sampler_is_told_apart_from_a_slower_machine(times, gemm, copy, slower, drifted):
    verdict = compare(a_record(), remeasured(times, gemm, copy))
    assert (len(verdict.slower), len(verdict.drifted)) == (slower, drifted)
    assert verdict.good == 6 - slower - drifted


def test_what_is_slower_is_named_in_a_line_with_its_numbers():
    verdict = compare(a_record(), remeasured(2.0, gemm=1.05, only="student"))
    assert verdict.slower == [
        "student-onnx, batch 4: 1000 ms in place of 500 ms, 2.00 times as long (GEMM 1.05, copy "
        "1.00)",
        "student-onnx, batch 8: 1600 ms in place of 800 ms, 2.00 times as long (GEMM 1.05, copy "
        "1.00)",
        "student-onnx, chunks of 20 ms: 4.00 ms in place of 2.00 ms, 2.00 times as long (GEMM "
        "1.05, copy 1.00)",
    ]
    assert verdict.good == 3


def test_what_ran_and_does_not_run_now_counts_and_what_was_left_out_is_said():
    now = a_record()
    now.speed.rows = [
        replace(row, timing=None, note="unavailable: gone") if row.model == "vocos" else row
        for row in now.speed.rows
        if row.backend != "plain"
    ]
    verdict = compare(a_record(), now)
    assert verdict.slower == [
        "vocos-24kHz, batch 4: ran in 1000 ms, and now does not: unavailable: gone"
    ]
    assert verdict.unseen == ["teacher-plain, batch 4"]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CPU", "another", r"another CPU: a \| b, here it is another"),
        ("threads", "8", "Say threads=2"),
        ("dtype", "float64", "another dtype: float32, here it is float64"),
        ("device", "cuda", "Say device=cpu"),
        ("GPU", "a GPU", "another GPU: none, here it is a GPU"),
    ],
)
def test_another_machine_is_refused(name, value, says):
    now = a_record()
    now.speed.environment[name] = value
    with pytest.raises(ValueError, match=says):
        compare(a_record(), now)


def test_values_of_another_length_are_refused():
    now = a_record()
    now.speed.sites = 5
    with pytest.raises(ValueError, match=r"Say benchmark\.sites=3"):
        compare(a_record(), now)


def test_a_record_comes_back_as_it_was_written(tmp_path):
    record = a_record()
    path = record.write(tmp_path)
    for place in (tmp_path, path):
        found = read_record(place)
        assert found.settings == record.settings
        assert found.speed.rows == record.speed.rows
        assert found.stream.rows == record.stream.rows
        assert found.speed.calibrations == found.stream.calibrations == {"cpu": roof()}
        assert found.speed.environment == record.speed.environment
        assert found.speed.sites == 3


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 7}', '{"format": 1, "speed": 3}'])
def test_a_file_that_is_no_record_is_refused_by_name(text, tmp_path):
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(ValueError, match=r"record\.json: not a record of a benchmark"):
        read_record(tmp_path)


def test_a_missing_record_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="distill benchmark run=RUN"):
        read_record(tmp_path)
