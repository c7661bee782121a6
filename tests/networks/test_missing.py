"""F0 and phase that are not given: estimated, added up, and mixed with what is given."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from distill.contract import DataSpec, FeatureSpec
from distill.data.audio import LogMel, Pitch, Tones
from distill.networks import FrameEncoder, HarmonicEncoder, VectorEncoder
from distill.networks.missing import MissingPhase
from distill.networks.pitch_estimator import PitchEstimator

OPTIONAL = FeatureSpec("frames", 2, optional=True)
SPEC = DataSpec(
    None,
    features={
        "mel": FeatureSpec("frames", 5),
        "f0": replace(OPTIONAL, loc=(5.0, 0.5)),
        "phase": OPTIONAL,
    },
    sample_rate=8000,
    hop=8,
)


def encoder(**settings):
    torch.manual_seed(1)
    own = {"harmonics": 2, "voices": 1, "mode": "repeat", "look_ahead": 1, "pitch_ahead": 2}
    return HarmonicEncoder(SPEC, **{**own, **settings}).double()


def features(frames=12, batch=2):
    torch.manual_seed(0)
    hertz = 150 + 20 * torch.randn(batch, frames, dtype=torch.float64).cumsum(1).clamp(-3, 3)
    voiced = (torch.rand(batch, frames) > 0.2).double()
    turns = 2 * math.pi * torch.rand(batch, frames, dtype=torch.float64)
    return {
        "mel": torch.randn(batch, frames, 5, dtype=torch.float64),
        "f0": torch.stack([hertz.log(), voiced], -1),
        "phase": torch.stack([turns.cos(), turns.sin()], -1) * voiced[..., None],
    }


def test_what_is_given_is_used_and_what_is_not_is_estimated():
    given, model = features(), encoder(look_ahead=1)

    def read(features):
        return model(features).rows[:, :-1]  # those of the frames 1 and on: F0, then phase

    mixed = {name: value.clone() for name, value in given.items()}
    mixed["f0"][:, ::2] = math.nan
    mixed["phase"][:, ::2] = math.nan
    alone, whole, rows = read({"mel": given["mel"]}), read(given), read(mixed)
    assert rows.isfinite().all()
    f0 = slice(5, 7)
    torch.testing.assert_close(rows[:, ::2, f0], whole[:, ::2, f0])
    torch.testing.assert_close(rows[:, 1::2, f0], alone[:, 1::2, f0])
    assert torch.isclose(alone[..., f0], whole[..., f0]).all(-1).sum() < 8  # unvoiced in both
    torch.testing.assert_close(rows[:, ::2, 7:], given["phase"][:, 1::2])


def test_a_missing_feature_is_one_that_is_nan_everywhere():
    given, model = features(), encoder()
    nan = {name: torch.full_like(given[name], math.nan) for name in ("f0", "phase")}
    alone, filled = model({"mel": given["mel"]}), model({**given, **nan})
    assert torch.equal(alone.rows, filled.rows)
    assert torch.equal(alone.source, filled.source)
    assert torch.equal(alone.lag, filled.lag)


def test_a_required_feature_is_still_asked_for():
    with pytest.raises(ValueError, match="'mel' wanted shape"):
        encoder()({"f0": features()["f0"]})
    required = replace(SPEC, features={**SPEC.features, "f0": FeatureSpec("frames", 2)})
    model = HarmonicEncoder(required, mode="repeat").double()
    assert not list(model.missing.parameters())
    assert model.loss(features()) == {}
    with pytest.raises(ValueError, match="'f0' wanted shape"):
        model({"mel": features()["mel"]})


def test_an_estimate_sees_no_frame_beyond_the_latency():
    model, given = encoder(), {"mel": features()["mel"]}
    assert model.latency == 3
    before = model(given)
    changed = {"mel": given["mel"].clone()}
    changed["mel"][:, 8:] = 9.0
    after = model(changed)
    sure = 8 - model.latency
    assert torch.equal(before.rows[:, :sure], after.rows[:, :sure])
    assert torch.equal(before.source[:, : sure * 8], after.source[:, : sure * 8])
    assert not torch.equal(before.rows[:, sure], after.rows[:, sure])


def test_where_nothing_is_voiced_the_network_sees_no_guess_of_the_pitch():
    given = features()
    given["f0"][..., 1] = 0
    given["phase"].zero_()
    context = encoder()(given)
    assert not context.rows[..., 5].any()
    assert not context.source.any()


@pytest.mark.parametrize("align", ["middle", "start"])
def test_a_missing_phase_is_what_a_whole_contour_adds_up_to(align):
    spec = replace(SPEC, settings={"mel": {"align": align}})
    mel = LogMel(bands=5, fft=32, window=32, hop=8, high=None, align=align)
    frames = torch.cat([features()[name] for name in ("mel", "f0", "phase")], -1)
    frames[..., 7:] = math.nan
    missing = MissingPhase(spec)
    filled, _ = missing.run(missing.start(frames), frames)
    for row, f0 in enumerate(frames[..., 5:7]):
        wanted = Pitch().integrate(f0, 8000, mel).double()
        torch.testing.assert_close(filled[row, :, 7:], wanted, atol=1e-6, rtol=0)


def test_a_phase_goes_on_from_the_last_one_that_was_given():
    frames = torch.full((1, 200, 9), math.nan, dtype=torch.float64)
    frames[..., :5] = 0
    frames[..., 5:7] = torch.tensor([math.log(130.0), 1.0], dtype=torch.float64)
    given = {0: 0.25, 7: 0.6, 8: 0.1, 150: 0.9}
    for at, turns in given.items():
        angle = torch.tensor(2 * math.pi * turns, dtype=torch.float64)
        frames[0, at, 7:] = torch.stack([angle.cos(), angle.sin()])
    missing = MissingPhase(SPEC)
    filled, (_, turns) = missing.run(missing.start(frames), frames)
    found = torch.atan2(filled[0, :, 8], filled[0, :, 7]) / (2 * math.pi)
    step, last = 130 * 8 / 8000, 0.0
    for frame in range(200):
        last = given.get(frame, last + step)
        assert abs((float(found[frame]) - last + 0.5) % 1 - 0.5) < 1e-9
    assert abs((float(turns) - last + 0.5) % 1 - 0.5) < 1e-9
    assert turns.dtype == torch.float64


def test_estimates_pass_no_gradient_on():
    given, model = {"mel": features()["mel"]}, encoder()
    context = model(given)
    (context.rows.sum() + context.source.sum()).backward()
    assert all(p.grad is None for p in model.missing.parameters())
    assert sum(model.loss(features()).values()) > 0


def test_the_loss_leaves_out_frames_of_unknown_pitch():
    given, model = features(), encoder().eval()
    other = {name: value.clone() for name, value in given.items()}
    given["f0"][:, 3:] = math.nan
    other["f0"][:, 3:] = other["f0"][:, 3:].flip(0)
    losses, others = model.loss(given), model.loss(other)
    assert set(losses) == {"pitch", "voicing"}
    own = model.missing[0]
    seen = own._around(torch.cat(list(features().values()), -1))
    part = own.estimator.loss(seen[:, :13], features()["f0"][:, :3])
    for name, value in losses.items():
        torch.testing.assert_close(value, part[name])
        assert value != others[name]
    given["f0"][:] = math.nan
    assert all(value.item() == 0 for value in model.loss(given).values())
    assert model.accuracy(given) == {}


def test_in_training_estimates_are_learnt_from_frames_that_are_a_little_off():
    given, model = features(), encoder()
    first, second = model.loss(given), model.loss(given)
    still = model.eval().loss(given)
    for name, value in still.items():
        assert value != first[name] != second[name]
        torch.testing.assert_close(value, model.loss(given)[name])
        torch.testing.assert_close(first[name], value, rtol=0.2, atol=0.05)


def test_the_loss_of_a_perfect_estimate_is_zero():
    estimator = PitchEstimator(SPEC, inputs=5)
    line = torch.tensor(math.log(200.0))
    target = torch.softmax(-((estimator.centers - line) / 0.05).square() / 2, -1)
    nn.init.zeros_(estimator.last.weight)
    with torch.no_grad():
        estimator.last.bias.copy_(torch.cat([(target + 1e-30).log(), torch.tensor([30.0])]))
    frames, f0 = torch.randn(1, 14, 5), torch.tensor([[[math.log(200.0), 1.0]] * 4])
    assert all(abs(v.item()) < 1e-5 for v in estimator.loss(frames, f0).values())
    numbers = estimator.accuracy(frames, f0)
    assert numbers["voicing"] == numbers["within_20_cents"] == 1
    assert numbers["median_cents"] < 5  # the mean of five bins


def test_an_estimator_learns_tones():
    data = Tones(
        count=60,
        seconds=0.4,
        kinds=["tone", "burst"],
        mel=LogMel(bands=40, fft=512, window=400, hop=64, high=None),
        optional=("f0", "phase"),
    )
    torch.manual_seed(0)
    model = HarmonicEncoder(data.spec, mode="repeat")
    held = next(data.held_out(8)).features
    before = model.accuracy(held)
    optimizer = torch.optim.Adam(model.missing.parameters(), 3e-3)
    for step in range(150):
        optimizer.zero_grad()
        sum(model.loss(data.train_batch(step, 4, 0).features).values()).backward()
        optimizer.step()
    after = model.accuracy(held)
    assert before["within_100_cents"] < 0.5 or before["voicing"] < 0.7
    assert after["voicing"] > 0.9
    assert after["within_100_cents"] > 0.9
    assert after["median_cents"] < 40


class Chunk(nn.Module):
    """One chunk of an encoder, as an export has it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, features, state):
        context, after = self.model.run(state, features)
        return context.rows, context.source, context.lag, after


def test_an_exported_encoder_equals_eager_for_any_chunk():
    chunk, given = Chunk(encoder().eval()), features()
    given["f0"][0, ::2] = math.nan
    given["phase"][:, 1::3] = math.nan
    state = chunk.model.start(given)
    frames = torch.export.Dim("frames")
    shapes = ({name: {1: frames} for name in given}, tuple(None for _ in state))
    with torch.no_grad():
        program = torch.export.export(chunk, (given, state), dynamic_shapes=shapes).module()
        for count in (2, 5):
            piece = {name: value[:, :count] for name, value in given.items()}
            found, wanted = program(piece, state), chunk(piece, state)
            for a, b in zip((*found[:3], *found[3]), (*wanted[:3], *wanted[3]), strict=True):
                torch.testing.assert_close(a, b, equal_nan=True)
            assert found[0].isfinite().all()


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (["f0"], {}),
        (["mel", "phase"], {}),
        (["mel", "f0"], {"look_ahead": 0}),
        (["f0", "mel"], {"features": {"mel": replace(OPTIONAL, size=5)}}),
    ],
)
def test_optional_features_that_nothing_estimates_are_refused(names, settings):
    wanted = {name: SPEC.features[name] for name in names} | settings.pop("features", {})
    with pytest.raises(ValueError, match=r"data.optional=\[f0,phase\]"):
        FrameEncoder(replace(SPEC, features=wanted), mode="repeat", **settings)


def test_an_estimator_needs_a_range_and_a_bounded_look_ahead():
    with pytest.raises(ValueError, match="ahead from 0 to 10 frames"):
        encoder(pitch_ahead=11)
    bad = replace(SPEC, settings={"pitch": {"low": 500.0, "high": 100.0}})
    with pytest.raises(ValueError, match="got ahead=3, low=500"):
        FrameEncoder(bad)


def test_an_encoder_of_vectors_has_nothing_to_learn():
    vectors = VectorEncoder(DataSpec(2, features={"digit": FeatureSpec("label", 3)}))
    assert vectors.loss({"digit": torch.tensor([1])}) == {}


def test_of_a_long_value_the_frames_without_all_their_neighbors_are_not_judged():
    given, model = features(frames=30), encoder().eval()
    other = {name: value.clone() for name, value in given.items()}
    reach, ahead = model.missing[0].estimator.reach, 2
    other["f0"][:, : reach - ahead] += 0.1
    other["f0"][:, -ahead:] += 0.1
    losses = model.loss(given)
    for name, value in model.loss(other).items():
        torch.testing.assert_close(value, losses[name], rtol=0, atol=0)
    other["f0"][:, reach - ahead] += 0.1
    assert model.loss(other)["pitch"] != losses["pitch"]
    seen = torch.cat(list(given.values()), -1)[..., :5]
    part = model.missing[0].estimator.loss(seen, given["f0"][:, reach - ahead : -ahead])
    torch.testing.assert_close(losses, part)
