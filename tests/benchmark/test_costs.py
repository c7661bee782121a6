from __future__ import annotations

from functools import partial

import pytest
import torch

from distill.benchmark.costs import cost_of_draws, cost_of_pass, cost_of_steps, draw
from distill.benchmark.counting import Work, count
from distill.benchmark.inputs import Inputs
from distill.benchmark.teachers import draw_by_passes, draw_by_steps
from distill.contract import DataSpec, FeatureSpec
from distill.models import iaf, maf, wavenet, wavenet_iaf
from distill.networks import FrameEncoder

MEL = {"mel": FeatureSpec("frames", 3)}
SIGNAL = DataSpec(None, features=MEL, sample_rate=64, hop=32)
repeated = partial(FrameEncoder, mode="repeat", layers=1, channels=4)


def test_products_and_traffic_are_counted_exactly():
    a, b = torch.ones(2, 3), torch.ones(3, 5)
    assert count(lambda: a @ b) == Work(2 * 2 * 3 * 5, 4 * (6 + 15 + 10))


def test_views_cost_nothing_repeated_axes_once_and_gathers_what_they_give():
    x = torch.ones(4, 1)
    assert count(lambda: x.expand(4, 100)[1:].T).bytes == 0
    assert count(lambda: x.expand(4, 100) + 1.0).bytes == 4 * (4 + 400)
    table, at = torch.ones(1000, 2), torch.tensor([1, 2])
    assert count(lambda: table[at]).bytes == 2 * 16 + 16


def test_a_large_batch_is_told_from_two_small_ones():
    student = iaf(DataSpec(sites=3), 2, [8]).eval()
    inputs = Inputs.of(student.spec)
    assert cost_of_draws(student, inputs)(7) == count(lambda: draw(student, inputs, 7))


def test_a_long_signal_is_told_from_short_ones():
    student = wavenet_iaf(SIGNAL, [2], 2, channels=4, encoder=repeated).eval()
    inputs = Inputs.of(SIGNAL, {"mel": torch.randn(2, 20, 3)}, sites=320)
    assert inputs.grain == 64
    told, counted = cost_of_draws(student, inputs)(5), count(lambda: draw(student, inputs, 5))
    assert told.flop == counted.flop
    assert told.bytes == pytest.approx(counted.bytes, rel=0.01)


def test_steps_of_a_wavenet_multiply_as_often_as_its_pass():
    spec = DataSpec(None, sample_rate=64, hop=8)
    teacher = wavenet(spec, layers=2, channels=4).eval()
    inputs = Inputs(None, sites=640, grain=8)
    steps, once = cost_of_steps(teacher, inputs, draw_by_steps)(3), cost_of_pass(teacher, inputs)(3)
    assert steps.flop == once.flop
    assert steps.bytes > once.bytes  # the weights, at every site anew


def test_plain_sampling_costs_a_pass_for_each_site():
    teacher = maf(DataSpec(sites=4), 2, [8]).eval()
    inputs = Inputs.of(teacher.spec)
    whole = count(lambda: draw_by_passes(teacher, inputs, 2))
    assert cost_of_pass(teacher, inputs)(2).flop * 4 == whole.flop
    assert cost_of_steps(teacher, inputs, draw_by_steps)(2).flop < whole.flop


def test_values_without_any_length_are_refused():
    with pytest.raises(ValueError, match=r"benchmark\.sites: wanted the length"):
        Inputs.of(DataSpec(None))


def test_features_come_in_the_precision_of_the_model():
    model = iaf(DataSpec(sites=2, features={"color": FeatureSpec("vector", 1)}), 1, [4]).double()
    rows = Inputs.of(model.spec, {"color": torch.ones(2, 1)}).rows(3, model)
    assert rows["color"].dtype == torch.float64
    assert rows["color"].shape == (3, 1)
