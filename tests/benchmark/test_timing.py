from __future__ import annotations

import time

import pytest
import torch

from distill.benchmark.calibration import Calibration, Calibrator
from distill.benchmark.environment import environment, in_one_line
from distill.benchmark.timing import Timing, Turn, measure, take_turns


def test_competitors_take_turns_round_by_round():
    order: list[str] = []
    turns = [Turn(lambda name=name: order.append(name)) for name in "abc"]
    timings = take_turns(turns, rounds=3, warmup_rounds=2)
    assert "".join(order) == "abc" * 5
    assert [timing.runs for timing in timings] == [3, 3, 3]


def test_the_median_is_robust_against_one_slow_run():
    waits = iter([0.0, 0.0, 0.05, 0.0])
    timing = measure(lambda: time.sleep(next(waits)), rounds=3, warmup_rounds=1)
    assert timing.runs == 3
    assert timing.minimum <= timing.median < 0.05 <= timing.maximum
    assert timing.rate(10) == pytest.approx(10 / timing.median)


def test_one_whose_time_is_up_sits_out_and_the_others_go_on():
    calls: list[str] = []
    slow = Turn(lambda: (calls.append("slow"), time.sleep(0.15)))
    quick = Turn(lambda: calls.append("quick"))
    timings = take_turns([slow, quick], rounds=8, warmup_rounds=1, seconds=0.5)
    assert 1 <= timings[0].runs < 4
    assert timings[1].runs == 8
    assert calls.count("slow") == timings[0].runs + 1
    assert measure(lambda: time.sleep(0.01), rounds=5, seconds=1e-9).runs == 1
    (least,) = take_turns([slow], rounds=5, warmup_rounds=0, seconds=1e-9, least=2)
    assert least.runs == 2


def test_one_that_fails_is_out_with_its_reason():
    calls: list[str] = []

    def broken() -> None:
        calls.append("broken")
        raise OSError("gone")

    failed, other = take_turns([Turn(broken), Turn(lambda: None)], rounds=3)
    assert isinstance(failed, OSError)
    assert calls == ["broken"]
    assert other.runs == 3
    with pytest.raises(OSError, match="gone"):
        measure(broken)


def test_no_rounds_are_refused():
    with pytest.raises(ValueError, match="rounds and least >= 1"):
        measure(lambda: None, rounds=0)


def test_a_computed_time_counts_no_runs_and_comes_back_from_json():
    timing = Timing((2.0,), computed=True)
    assert timing.runs == 0
    assert Timing.from_dict({"times": [2], "computed": True}) == timing


def test_the_environment_names_what_a_speed_depends_on():
    facts = environment(dtype=torch.bfloat16)
    assert facts["torch"] == torch.__version__
    assert facts["threads"] == str(torch.get_num_threads())
    assert facts["CPU"] in in_one_line(facts)
    assert in_one_line(facts).endswith("bfloat16, device cpu")


def test_the_roofs_are_those_of_the_fastest_runs():
    roof = Calibration(Timing((2.0, 1.0)), 100.0, Timing((5.0, 4.0)), 20.0)
    assert (roof.peak, roof.copy_rate) == (100.0, 5.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_calibrating_again_adds_runs_of_the_same_work(dtype):
    calibrator = Calibrator("cpu", dtype, side=16, copied=1000)
    calibrator.measure(2)
    calibrator.measure(3)
    roof = calibrator.result()
    assert (roof.gemm.runs, roof.copy.runs) == (5, 5)
    assert (roof.gemm_flop, roof.copy_bytes) == (2 * 16**3, 2000)
