"""The synthetic corpus, and through it the batches of all audio."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distill.contract import DataSpec
from distill.data.audio import LogMel, Pitch, Tones
from distill.networks import FrameEncoder

STEP = 2.0**-15
MEL = LogMel(bands=20, fft=256, window=256, hop=64, high=None)


def tones(**settings: object) -> Tones:
    return Tones(**{"count": 12, "seconds": 0.5, "mel": MEL, "crop": 1024, **settings})  # type: ignore[arg-type]


def test_batches_are_a_pure_function_of_step_size_and_seed() -> None:
    one, two = tones(), tones()
    one.train_batch(5, 4, 0)
    first, again = one.train_batch(3, 4, 7), two.train_batch(3, 4, 7)
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.features["mel"], again.features["mel"])
    assert not torch.equal(first.x, one.train_batch(4, 4, 7).x)
    assert not torch.equal(first.x, one.train_batch(3, 4, 8).x)


def test_frames_of_a_crop_are_those_of_the_clip_at_its_place() -> None:
    data = tones(conditions=("mel", "f0", "label"))
    batch = data.train_batch(0, 6, 0)
    clips = {clip.name: clip.load() for clip in data._train}
    for x, mel, f0 in zip(batch.x, batch.features["mel"], batch.features["f0"], strict=True):
        samples = (x / STEP).round().short()
        places = [
            (loaded, start)
            for loaded in clips.values()
            for start in range(len(loaded.frames["mel"]) - 15)
            if torch.equal(loaded.samples[start * 64 : start * 64 + 1024], samples)
        ]
        assert len(places) == 1
        loaded, start = places[0]
        assert torch.equal(loaded.frames["mel"][start : start + 16], mel)
        assert torch.equal(loaded.frames["f0"][start : start + 16], f0)


def test_crops_reach_every_clip_and_every_frame() -> None:
    data = tones(count=4, held_out=0.25, crop=3968)
    starts, seen = set(), set()
    for step in range(20):
        for x in data.train_batch(step, 4, 0).x:
            samples = (x / STEP).round().short()
            for clip in data._train:
                for start in (0, 1):
                    mine = clip.load().samples[start * 64 : start * 64 + 3968]
                    if len(mine) == 3968 and torch.equal(mine, samples):
                        starts.add(start)
                        seen.add(clip.name)
    assert len(seen) == 3
    assert starts == {0}  # 4,000 sites have 62 whole frames


def test_no_crop_takes_clips_whole() -> None:
    data = tones(crop=None)
    batch = data.train_batch(0, 3, 0)
    assert batch.x.shape[1] == 4032  # half a second, a whole number of frames
    assert torch.equal(batch.x, tones(crop=4032).train_batch(0, 3, 0).x)
    assert tones(crop=None, held_out_seconds=0.2).train_batch(0, 3, 0).x.shape[1] == 1600


def test_a_clip_shorter_than_the_crop_is_filled_up_and_masked() -> None:
    data = tones(conditions=("mel", "f0"), crop=6400)
    batch = data.train_batch(0, 3, 0)
    assert batch.mask is not None
    assert batch.mask.sum(1).tolist() == [4000.0] * 3
    assert batch.mask[:, :4000].all()
    filled = batch.x[:, 4000:]
    assert 0 < filled.abs().max() <= STEP / 2
    assert abs(float(filled.std()) / (STEP / 12**0.5) - 1) < 0.05
    assert torch.allclose(batch.features["mel"][:, 63:], MEL.silence(8000))
    assert (batch.features["f0"][:, 63:, 1] == 0).all()
    assert tones().train_batch(0, 2, 0).mask is None


def test_dequantized_audio_lies_within_half_a_step_of_the_clip() -> None:
    data = tones()
    batch = next(data.held_out(2))
    clip = data._held[0].load().samples
    noise = batch.x[0, :4000] / STEP - clip
    assert noise.abs().max() <= 0.5 + 1e-2
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 12**-0.5) < 0.01


def test_held_out_clips_are_whole_and_the_same_every_time() -> None:
    data = tones(held_out=0.4)
    whole, parts = list(data.held_out(5)), list(data.held_out(2))
    assert torch.equal(torch.cat([b.x for b in whole]), torch.cat([b.x for b in parts]))
    assert [len(b.x) for b in parts] == [2, 2, 1]
    assert len(data.held_out_names) == 5
    assert not set(data.held_out_names) & set(data.train_names)
    assert len(data.held_out_names) + len(data.train_names) == 12
    assert whole[0].x.shape == (5, 63 * 64)
    assert whole[0].mask is not None
    assert whole[0].mask.sum(1).tolist() == [4000.0] * 5
    short = next(tones(held_out_seconds=0.25).held_out(2))
    assert short.x.shape == (2, 31 * 64)
    assert short.mask is None


def test_split_follows_the_seed() -> None:
    assert tones(seed=0).held_out_names == tones(seed=0).held_out_names
    assert tones(seed=0).held_out_names != tones(seed=1).held_out_names


def test_spec_standardizes_and_builds_an_encoder() -> None:
    data = tones(conditions=("mel", "f0", "label"))
    spec = data.spec
    assert (spec.sites, spec.sample_rate, spec.hop) == (None, 8000, 64)
    assert spec.settings["labels"] == ["tone", "pluck", "burst"]
    assert spec.scale[0] == pytest.approx(0.1, rel=0.01)
    frames = torch.cat([clip.load().frames["mel"] for clip in data._train])
    mel = spec.features["mel"]
    z = (frames - torch.tensor(mel.loc)) / torch.tensor(mel.scale)
    assert torch.allclose(z.mean(0), torch.zeros(20), atol=1e-4)
    assert torch.allclose(z.std(0, correction=0), torch.ones(20), atol=1e-4)
    batch = data.train_batch(0, 2, 0)
    context = FrameEncoder(DataSpec.from_dict(spec.to_dict()), mode="repeat")(batch.features)
    assert context.rows.shape[:2] == (2, 16)


def test_optional_features_are_in_every_batch_and_marked_in_the_spec() -> None:
    data = tones(conditions=("mel", "label"), optional=("f0", "phase"))
    marked = {name: feature.optional for name, feature in data.spec.features.items()}
    assert marked == {"mel": False, "label": False, "f0": True, "phase": True}
    assert "pitch" in data.spec.settings
    given = tones(conditions=("mel", "label", "f0", "phase"))
    for batch, other in (
        (data.train_batch(3, 2, 0), given.train_batch(3, 2, 0)),
        (next(data.held_out(2)), next(given.held_out(2))),
    ):
        assert batch.features is not None
        assert other.features is not None
        for name, value in batch.features.items():
            assert torch.equal(value, other.features[name])
    spec = DataSpec.from_dict(data.spec.to_dict())
    assert spec == data.spec
    assert tones(conditions=("mel",)).spec.features["mel"].optional is False


@pytest.mark.parametrize(
    ("conditions", "optional", "message"),
    [
        (("mel",), ("mel",), "optional among f0, phase"),
        (("mel", "f0"), ("f0",), "none that conditions names"),
        (("mel",), ("f0", "f0"), "each once"),
        (("label",), ("f0",), "wanted mel beside the optional f0"),
        (("mel",), ("phase",), "wanted f0 beside the optional phase"),
    ],
)
def test_optional_features_must_follow_from_others(
    conditions: tuple[str, ...], optional: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tones(conditions=conditions, optional=optional)


def test_conditions_are_any_subset() -> None:
    assert tones(conditions=()).train_batch(0, 2, 0).features is None
    assert tones(conditions=()).spec.hop == 1
    labels = tones(conditions=("label",)).train_batch(0, 8, 0).features
    assert set(labels) == {"label"}
    assert labels["label"].shape == (8,)
    with pytest.raises(ValueError, match="clips have none"):
        tones(conditions=("mel", "speaker"))
    with pytest.raises(ValueError, match="conditions among mel, f0, phase, speaker, label"):
        tones(conditions=("mels",))


def test_true_pitch_is_what_pyin_finds() -> None:
    data = Tones(count=9, seconds=0.6, kinds=("tone", "pluck"), held_out=0.3)
    batch = next(data.held_out(3))
    assert len(batch.x) == len(data.held_out_names) == 3
    for x, name in zip(batch.x, data.held_out_names, strict=True):
        truth = data.truth_f0(name)
        found = Pitch()(x[:4800], 8000, data.mel)
        assert found.shape == truth.shape
        both = (found > 0) & (truth > 0)
        assert both.sum() > 0.9 * (truth > 0).sum() > 20
        cents = 1200 * (found[both] / truth[both]).log2().abs()
        assert (cents < 20).float().mean() > 0.95


@pytest.mark.parametrize("align", ["middle", "start"])
def test_pitch_stands_on_the_frames_of_the_mel(align: str) -> None:
    mel = LogMel(bands=20, fft=512, window=512, hop=80, high=None, align=align)
    seconds = np.arange(8000) / 8000
    step = np.where(seconds < 0.5, 150.0, 220.0)
    x = torch.from_numpy(np.sin(2 * np.pi * np.cumsum(step) / 8000))
    found = Pitch()(x, 8000, mel)
    assert found.shape == (100,)
    centers = mel.centers(100) / 8000
    clear = ((centers - 0.5).abs() > 0.035) & (centers > 0.03) & (centers < 0.97)
    wanted = torch.where(centers < 0.5, 150.0, 220.0)
    assert (1200 * (found[clear] / wanted[clear]).log2().abs() < 15).all()
    between = centers[(found - 150).abs().minimum((found - 220).abs()) > 2]
    assert float(between.mean()) == pytest.approx(0.5, abs=0.011)


def test_contour_draws_lines_between_voiced_frames() -> None:
    pitch = Pitch(low=50, high=200)
    contour = pitch.contour(torch.tensor([0.0, 100.0, 0.0, 200.0, 0.0]))
    assert contour[:, 1].tolist() == [0.0, 1.0, 0.0, 1.0, 0.0]
    expected = torch.tensor([100.0, 100.0, 100 * 2**0.5, 200.0, 200.0]).log()
    assert torch.allclose(contour[:, 0], expected)
    nothing = pitch.contour(torch.zeros(3))
    assert torch.allclose(nothing, pitch.silence().expand(3, 2))
    assert torch.allclose(nothing[:, 0].exp(), torch.tensor(100.0))


def test_settings_without_sense_raise() -> None:
    with pytest.raises(ValueError, match=r"multiple of the mel's hop 64, got 1000\. 1024 would"):
        tones(crop=1000)
    with pytest.raises(ValueError, match="held_out, a share"):
        tones(held_out=1.0)
    with pytest.raises(ValueError, match="held_out_seconds of a frame or more"):
        tones(held_out_seconds=0.001)
    with pytest.raises(ValueError, match="kinds among tone, pluck, burst"):
        tones(kinds=("bell",))
    with pytest.raises(ValueError, match="count >= 2"):
        tones(count=1)
    with pytest.raises(ValueError, match="level"):
        tones(level=0)
    with pytest.raises(ValueError, match="step >= 0"):
        tones().train_batch(-1, 2, 0)


def test_a_model_for_other_audio_is_refused() -> None:
    data = tones(conditions=("mel", "label"))
    data.check_matches(data.spec)
    other = LogMel(bands=20, fft=256, window=200, hop=64, high=None)
    with pytest.raises(ValueError, match="wants mel window=200, this data has window=256"):
        data.check_matches(tones(conditions=("mel", "label"), mel=other).spec)
    with pytest.raises(ValueError, match="sample_rate=16000"):
        data.check_matches(tones(sample_rate=16000).spec)
    with pytest.raises(ValueError, match="features"):
        data.check_matches(tones().spec)
