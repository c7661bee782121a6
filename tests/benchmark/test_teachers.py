from __future__ import annotations

from functools import partial

import pytest
import torch

from distill.benchmark import teachers
from distill.benchmark.inputs import Inputs
from distill.benchmark.race import race
from distill.benchmark.sequential import generate_by_passes, sampled_by
from distill.benchmark.teachers import SAMPLERS, TeacherSampler, teacher_contestants
from distill.bijectors import Autoregressive
from distill.contract import DataSpec
from distill.distributions import MixtureOfLogistics
from distill.models import iaf, maf, wavenet
from distill.networks import Conditioner
from tests.randomized import randomized

SIGNAL = DataSpec(None, sample_rate=16, hop=4)


TEACHERS = {
    "MAF": lambda: maf(DataSpec(sites=5), 2, [16]),
    "MAF MoG": lambda: maf(DataSpec(sites=4), 1, [8], mixture=2),
    "WaveNet": lambda: wavenet(SIGNAL, layers=2, channels=4),
    "WaveNet over blocks, mixture": lambda: wavenet(
        SIGNAL, partial(MixtureOfLogistics, 2), layers=2, channels=4, block=4
    ),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_plain_and_incremental_sampling_are_the_same_function(name):
    teacher = randomized(TEACHERS[name]().double().eval())
    sites = teacher.spec.sites or 12
    with sampled_by(teacher, generate_by_passes, incremental=False):
        plain = teacher.sample(3, sites=sites, seed=0)
    with sampled_by(teacher, Conditioner.generate_by_steps, incremental=True):
        incremental = teacher.sample(3, sites=sites, seed=0)
    torch.testing.assert_close(plain, incremental)
    assert plain.std() > 0
    assert all(m.incremental for m in teacher.modules() if isinstance(m, Autoregressive))
    assert not any("generate" in m.__dict__ for m in teacher.modules())


def test_the_compiled_loop_draws_what_the_steps_draw():
    teacher = randomized(TEACHERS["WaveNet"]()).eval()
    inputs = Inputs.of(SIGNAL, sites=12)
    drawn = []
    for name in ("compiled", "incremental"):
        torch.manual_seed(0)
        drawn.append(SAMPLERS[name].draw(teacher, inputs, 2))
    torch.testing.assert_close(*drawn, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["MAF", "WaveNet"])
def test_rounds_are_counted_and_compared_with_the_sequential_sampler(name):
    teacher = randomized(TEACHERS[name]().double().eval())
    inputs = Inputs.of(teacher.spec, sites=8)
    found = SAMPLERS["jacobi"].columns(teacher, inputs, 3)
    assert found.keys() == {"rounds", "off"}
    assert found["rounds"] >= 2
    assert 0 <= found["off"] < 1e-3
    assert SAMPLERS["jacobi"].draw(teacher, inputs, 3).shape == (3, inputs.sites)


@pytest.mark.parametrize(
    ("make", "refused"),
    [
        (TEACHERS["MAF"], {"compiled": "Flow has no compiled sampler"}),
        (TEACHERS["MAF MoG"], {"compiled": "MADE has no compiled sampler"}),
        (lambda: TEACHERS["WaveNet"]().double(), {"compiled": "GaussianHead in torch.float64"}),
        (
            lambda: iaf(DataSpec(sites=2), 1, [4]),
            {"plain": "Flow has no", "compiled": "Flow has", "jacobi": "nothing in this Flow"},
        ),
        (TEACHERS["WaveNet"], {}),
    ],
)
def test_a_teacher_that_can_not_be_sampled_so_has_a_row_that_says_why(make, refused):
    teacher = make()
    entries = teacher_contestants(teacher, list(SAMPLERS), Inputs.of(teacher.spec, sites=8))
    told = {entry.backend: entry.note for entry in entries if not hasattr(entry, "draw")}
    assert told.keys() == refused.keys()
    assert all(told[name].startswith(start) for name, start in refused.items())


def test_a_further_sampler_is_one_entry_with_columns_of_its_own(monkeypatch, small):
    asked: list[int] = []

    def columns(teacher, inputs, batch):
        asked.append(batch)
        return {"rounds": 3.0, "error": 1e-6}

    jumping = TeacherSampler(teachers.draw_by_steps, columns=columns)
    monkeypatch.setitem(teachers.SAMPLERS, "jumping", jumping)
    teacher = TEACHERS["MAF"]().eval()
    entries = teacher_contestants(teacher, ["jumping"], Inputs.of(teacher.spec))
    rows, _ = race(entries, [1, 2], 1, calibrator=small)
    assert [row.extra for row in rows] == [{"rounds": 3.0, "error": 1e-6}] * 2
    assert [row.work for row in rows] == [None, None]
    assert asked == [1, 2]


def test_an_unknown_sampler_is_refused():
    teacher = TEACHERS["MAF"]()
    with pytest.raises(ValueError, match=r"benchmark\.teacher: wanted any of plain, incremental"):
        teacher_contestants(teacher, ["quick"], Inputs.of(teacher.spec))


def test_a_long_signal_is_told_from_a_part():
    teacher = TEACHERS["WaveNet"]().eval()
    for name, part in (("plain", "one pass"), ("incremental", "4 sites")):
        expected = SAMPLERS[name].forecast(teacher, Inputs(None, 640, grain=4))(1)
        assert expected.part == part
        assert expected.seconds > 0
    assert SAMPLERS["incremental"].forecast(teacher, Inputs(None, 8, grain=4)) is None
    assert SAMPLERS["compiled"].forecast(teacher, Inputs(None, 640, grain=4)) is None
