"""Students by compiled loops: what they take, and each loop beside its plain twin."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from distill.bijectors import Chain, Standardize
from distill.contract import DataSpec, FeatureSpec
from distill.distributions import Logistic, Normal
from distill.export import Loops, accept, load
from distill.export.loops_arrays import sampler_of
from distill.kernels.flow_chunk import log_density, periods_ago
from distill.kernels.frames_chunk import line
from distill.models import Flow, iaf, wavenet_iaf
from distill.models.checkpoint import save
from distill.networks.blocks import whole_periods
from distill.networks.pitch_contour import LEAP, pitch_contour
from tests.export.students import CASES, F0, HOP, MEL, RATE, features_of, finding, student


@pytest.mark.parametrize("case", ["transposed, logistic", "linear", "whitened, no pitch"])
def test_an_encoder_of_another_mode_is_left_to_graphs(case: str, tmp_path):
    with pytest.raises(ValueError, match=r"encoder of another mode. Use export=onnx"):
        Loops().write(CASES[case](), tmp_path / "student.loops.pt")
    assert not list(tmp_path.iterdir())


def louder() -> Flow:
    """A whitened student whose samples, behind the filter, are scaled once more."""
    flow = finding()
    chain = Chain([*flow.bijector.layers, Standardize([0.0], [2.0])])
    return Flow(chain, flow.spec, flow.base, flow.encoder).eval()


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (partial(iaf, DataSpec(sites=2), 1, [4]), "a fixed number of sites"),
        (partial(student, {"mel": MEL}, block=3, mode="repeat"), "blocks of 3 sites"),
        (lambda: student({"mel": MEL}, mode="repeat").double(), "float64"),
        (louder, "a Standardize behind another end"),
    ],
)
def test_students_that_it_does_not_know_are_refused(model, what: str):
    with pytest.raises(ValueError, match=what):
        Loops().of(model())


def test_without_numba_it_says_so(monkeypatch):
    monkeypatch.setattr("distill.export.loops.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r"wanted numba, found none. Install it, or export to onnx"
    ):
        Loops().of(CASES["unconditional"]())


def test_the_file_of_another_model_is_refused(tmp_path):
    path = save(wavenet_iaf(DataSpec(None), [2], channels=8), tmp_path / "student.loops.pt")
    with pytest.raises(ValueError, match="not an exported sampler of this package: it holds a mod"):
        load(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_file_cut_short_is_refused(share: float, tmp_path):
    path = Loops().write(CASES["unconditional"](), tmp_path / "student.loops.pt")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match="not an exported sampler of this package: it is cut sho"):
        load(path)


def test_rows_on_two_threads_are_the_rows_on_one():
    flow = CASES["speakers"]()
    one, two = Loops(threads=1).of(flow), Loops(threads=2).of(flow)
    noise = one.noise(3, sites=5 * HOP, seed=1)
    features = {"mel": torch.randn(3, 5, 5), "speaker": torch.tensor([0, 1, 2])}
    for got, wanted in zip(two(noise, features), one(noise, features), strict=True):
        assert torch.equal(got, wanted)


def test_a_sampler_keeps_the_weights_that_it_was_made_of():
    flow = CASES["repeat, no layers"]()
    exported, noise, features = Loops().of(flow), torch.randn(1, 8), {"mel": torch.ones(1, 2, 5)}
    before = exported(noise, features)[0]
    with torch.no_grad():
        for weight in flow.parameters():
            weight.add_(1.0)
    assert torch.equal(exported(noise, features)[0], before)
    assert not torch.allclose(Loops().of(flow)(noise, features)[0], before)


def test_vectors_labels_and_frames_come_together(tmp_path):
    features = {
        "color": FeatureSpec("vector", 3, (1.0,) * 3, (2.0,) * 3),
        "mel": MEL,
        "speaker": FeatureSpec("label", 4),
    }
    flow = student(features, mode="repeat", layers=2)
    path, report = accept(Loops(), flow, tmp_path)
    assert report.relative <= 1e-6
    assert load(path).metadata.spec == flow.spec


def test_vectors_and_labels_alone_are_one_row(tmp_path):
    features = {"speaker": FeatureSpec("label", 3), "color": FeatureSpec("vector", 2, (1.0,) * 2)}
    assert accept(Loops(), student(features), tmp_path)[1].relative <= 1e-6


def test_harmonics_without_look_ahead_are_held(tmp_path):
    sines = CASES["harmonics"]().encoder
    flow = student(
        {"mel": MEL, "f0": F0, "phase": F0},
        look_ahead=0,
        encoder=type(sines),
        mode="repeat",
        voices=0,
    )
    assert accept(Loops(), flow, tmp_path)[1].relative <= 1e-6


def test_skips_and_wide_layers_agree(tmp_path):
    spec = DataSpec(None, loc=(0.1,), scale=(0.3,), sample_rate=RATE, hop=HOP)
    torch.manual_seed(0)
    flow = wavenet_iaf(spec, [6], 3, channels=16, skip_channels=32, last_scale=0.5, bound=None)
    assert accept(Loops(), flow.eval(), tmp_path)[1].relative <= 1e-6


def test_long_values_go_through_in_pieces(tmp_path):
    flow = student({}, flows=(4,), channels=16)
    noise = torch.randn(1, 700)
    x, log_prob = Loops().of(flow)(noise)
    with torch.no_grad():
        draw = flow.draw(noise)
    torch.testing.assert_close(x, draw.x, rtol=0, atol=1e-6)
    torch.testing.assert_close(log_prob, draw.log_prob, rtol=0, atol=2e-6)


def test_a_mel_that_is_no_number_is_refused_as_by_every_file():
    exported = Loops().of(finding())
    with pytest.raises(ValueError, match=r"feature 'mel' wanted finite numbers, got NaN"):
        exported.synthesize({"mel": np.full((3, 8), np.nan, np.float32)})


def test_the_distance_of_pitch_taps_is_that_of_its_twin():
    flow = sampler_of(finding()).flows[0]
    lags = torch.cat([torch.zeros(1), torch.rand(300) * 1.2 * flow.longest])
    wanted = whole_periods(lags, flow.block, flow.around, flow.longest, flow.periods)
    got = [[periods_ago(float(lag), flow, p) for p in range(flow.periods)] for lag in lags]
    assert flow.periods == 2
    assert got == wanted.tolist()
    assert len(set(map(tuple, got))) > 20


@pytest.mark.parametrize("centered", [True, False])
def test_the_line_of_f0_is_that_of_its_twin(centered: bool):
    hertz = 100 * 1.15 ** torch.randn(200, 3, dtype=torch.float64)
    voiced = torch.rand(200, 3) > 0.2
    for own, told in zip(hertz, voiced, strict=True):
        wanted = pitch_contour(own, told, centered)
        frames = list(zip(own.tolist(), told.double().tolist(), strict=True))
        start, end, joined = line(*frames, centered, LEAP)
        assert (start, end, joined) == (float(wanted.start), float(wanted.end), bool(wanted.joined))


@pytest.mark.parametrize("base", [Normal(), Logistic()])
def test_noise_is_scored_as_by_its_base(base):
    u = torch.linspace(-30, 30, 601)
    got = torch.from_numpy(log_density(u.numpy(), isinstance(base, Logistic)))
    torch.testing.assert_close(got, base.log_prob(u), rtol=1e-6, atol=1e-6)


def test_a_run_streams_the_loops_where_they_are_exported(tmp_path):
    flow = CASES["speakers"]()
    accept(Loops(), flow, tmp_path)
    exported = load(tmp_path / "student.loops.pt")
    stream = exported.stream(seed=3, features={"speaker": 2})
    mel = features_of(flow, 6)["mel"]
    parts = torch.cat([stream.push({"mel": frame[None]}) for frame in mel] + [stream.finish()])
    whole = exported.synthesize({"mel": mel, "speaker": 2}, seed=3)[0]
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)
