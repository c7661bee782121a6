"""Clips without their padding, and the numbers per site that come from them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict

import pytest
import torch

from distill.contract import Batch, DataSpec, FeatureSpec
from distill.data import Data, Moons
from distill.data.audio import LogMel, Tones
from distill.distributions import MuLaw
from distill.evaluation.audio import likelihood
from distill.evaluation.audio.clips import collate, held_out_clips, in_batches, without_optional
from distill.evaluation.audio.copies import copies
from distill.evaluation.audio.health import health
from distill.evaluation.audio.labels import change_by_label, right_label_wins
from distill.evaluation.audio.likelihood import (
    bits_per_sample,
    kl_per_site,
    nll_per_site,
    ratio_estimate,
)
from distill.models import (
    AutoregressiveDensity,
    Density,
    Flow,
    standardization,
    wavenet,
    wavenet_iaf,
)

HOP = 16
MEL_8K = LogMel(bands=20, fft=256, window=256, hop=64, high=None)
MEL = LogMel(bands=4, fft=64, window=64, hop=HOP, high=None)


class Uneven(Data):
    """Clips of 5, 3 and 2 frames (and one too short), padded to the longest; a speaker each."""

    held_out_names = ("five", "three", "two", "none")

    def __init__(self) -> None:
        features = {"mel": FeatureSpec("frames", 4), "speaker": FeatureSpec("label", 3)}
        self.spec = DataSpec(
            None, scale=(0.1,), features=features, sample_rate=1000, hop=HOP,
            settings={"mel": asdict(MEL)},
        )  # fmt: skip
        generator = torch.Generator().manual_seed(0)
        self.lengths = torch.tensor([5 * HOP, 3 * HOP + 7, 2 * HOP, HOP - 1])
        mask = (torch.arange(5 * HOP) < self.lengths[:, None]).float()
        x = 0.1 * torch.randn(4, 5 * HOP, generator=generator) * mask
        self.batch = Batch(x, {"mel": MEL(x, 1000), "speaker": torch.tensor([0, 1, 2, 0])}, mask)

    def held_out(self, size: int) -> Iterator[Batch]:
        for first in range(0, 4, size):
            rows = slice(first, first + size)
            features = {k: v[rows] for k, v in (self.batch.features or {}).items()}
            assert self.batch.mask is not None
            yield Batch(self.batch.x[rows], features, self.batch.mask[rows])


@pytest.fixture
def data() -> Uneven:
    return Uneven()


@pytest.fixture
def teacher(data: Uneven) -> AutoregressiveDensity:
    torch.manual_seed(0)
    return wavenet(data.spec, layers=2, channels=8).double()


@pytest.fixture
def student(data: Uneven) -> Flow:
    torch.manual_seed(1)
    return wavenet_iaf(data.spec, flows=[2, 2], channels=8, last_scale=0.3).double()


def test_clips_lose_their_padding_and_end_at_a_whole_frame(data):
    clips = held_out_clips(data, 4, seconds=10.0)
    assert [clip.name for clip in clips] == ["five", "three", "two"]
    assert [len(clip.x) // HOP for clip in clips] == [5, 3, 2]
    assert [len(clip.features["mel"]) for clip in clips] == [5, 3, 2]
    assert torch.equal(clips[1].x, data.batch.x[1, : 3 * HOP])


def test_clips_are_cut_to_a_duration(data):
    clips = held_out_clips(data, 2, seconds=2.5 * HOP / 1000)
    assert [len(clip.x) for clip in clips] == [2 * HOP, 2 * HOP]


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="evaluation=points"):
        held_out_clips(Moons(), 2, 1.0)


def test_collating_pads_with_a_mask(data):
    batch = collate(held_out_clips(data, 3, 10.0), data.spec)
    assert batch.mask is not None
    assert batch.mask.sum(1).tolist() == [5 * HOP, 3 * HOP, 2 * HOP]
    assert batch.features is not None
    assert batch.features["mel"].shape == (3, 5, 4)
    assert batch.features["speaker"].tolist() == [0, 1, 2]


def test_batches_are_bounded_and_hold_every_clip(data):
    clips = held_out_clips(data, 3, 10.0)
    parts = [part for part, _ in in_batches(clips, data.spec, sites=7 * HOP)]
    assert [[clip.name for clip in part] for part in parts] == [["five"], ["three", "two"]]


def test_clips_without_optional_features_are_nan_in_a_batch() -> None:
    data = Tones(
        count=4, seconds=0.3, mel=MEL_8K, crop=1024, optional=("f0", "phase"), held_out=0.5
    )
    clips = held_out_clips(data, 2, 0.2)
    bare = without_optional(clips[0], data.spec)
    assert list(bare.features) == ["mel"]
    batch = collate([bare, clips[1]], data.spec)
    assert batch.features is not None
    assert torch.equal(batch.features["mel"][0], clips[0].features["mel"])
    for name in ("f0", "phase"):
        assert batch.features[name][0].isnan().all()
        assert torch.equal(batch.features[name][1], clips[1].features[name])


def test_nll_per_site_equals_that_of_each_clip_alone(data, teacher):
    clips = held_out_clips(data, 3, 10.0)
    estimate = nll_per_site(teacher, clips)
    total = sites = 0.0
    for clip in clips:
        features = {k: v[None] for k, v in clip.features.items()}
        features["mel"] = features["mel"].double()
        total -= teacher.log_prob(clip.x.double()[None], features).sum().item()
        sites += len(clip.x)
    assert estimate.mean == pytest.approx(total / sites, rel=1e-9)
    assert estimate.standard_error > 0


def test_the_start_of_clips_can_be_left_out(data, teacher):
    clips = held_out_clips(data, 3, 10.0)
    assert nll_per_site(teacher, clips, skip=HOP).mean != nll_per_site(teacher, clips).mean
    with pytest.raises(ValueError, match="skip"):
        nll_per_site(teacher, clips, skip=6 * HOP)


def test_kl_is_zero_between_a_student_and_itself_and_grows_apart(data, student):
    clips = held_out_clips(data, 3, 10.0)

    class Knowing(Density):
        """Scores the very draw that the student made, by inverting it with gradients off."""

        def __init__(self, shift: float) -> None:
            super().__init__()
            self.spec, self.flow, self.shift = student.spec, student, shift

        def log_prob(self, x, features=None):
            return self.flow.log_prob(x, features) - self.shift

    same = kl_per_site(student, Knowing(0.0), clips, seed=0)
    apart = kl_per_site(student, Knowing(0.25), clips, seed=0)
    assert same.mean == pytest.approx(0, abs=1e-6)
    assert apart.mean == pytest.approx(0.25, abs=1e-6)
    assert same.count == 2 * len(clips)


def test_the_reverse_kl_of_models_with_one_end_is_taken_before_it(data, monkeypatch):
    options = {"channels": 4, "outer": standardization}
    student = wavenet_iaf(data.spec, [2], last_scale=1.0, **options).double()
    teacher = wavenet(data.spec, layers=2, **options).double()
    clips, calls = held_out_clips(data, 3, 10.0), []
    real = student.outer.forward
    monkeypatch.setattr(student.outer, "forward", lambda *u: (calls.append(1), real(*u))[1])
    before = kl_per_site(student, teacher, clips, seed=0)
    assert not calls
    monkeypatch.setattr(likelihood, "outer_difference", lambda *_: "one another")
    after = kl_per_site(student, teacher, clips, seed=0)
    assert calls
    assert before.mean > 0.01
    assert before.mean == pytest.approx(after.mean, abs=1e-12)


def test_the_error_of_a_ratio_shrinks_with_the_number_of_clips():
    generator = torch.Generator().manual_seed(0)
    sites = torch.randint(50, 100, (400,), generator=generator).double()
    totals = 2 * sites + 5 * torch.randn(400, generator=generator)
    few, many = ratio_estimate(totals[:25], sites[:25]), ratio_estimate(totals, sites)
    assert many.standard_error < few.standard_error / 2
    assert abs(many.mean - 2) < 4 * many.standard_error
    with pytest.raises(ValueError, match="at least 2 clips"):
        ratio_estimate(totals[:1], sites[:1])


def test_bits_of_a_density_count_levels_of_16_bits(data, teacher):
    uniform = math.log(2)  # -log 1/2, uniform on [-1, 1): every level is equally likely
    assert bits_per_sample(teacher, uniform) == pytest.approx(16)
    softmax = wavenet(data.spec, head=MuLaw, layers=1, channels=8)
    assert bits_per_sample(softmax, math.log(256)) == pytest.approx(8)


def test_copies_are_as_long_as_their_clips_and_reproducible(data, teacher, student):
    clips = held_out_clips(data, 3, 10.0)
    for model in (teacher, student):
        sounds = copies(model, clips, seed=3)
        assert [len(x) for x in sounds] == [len(clip.x) for clip in clips]
        again = copies(model, clips, seed=3)
        assert all(torch.equal(a, b) for a, b in zip(sounds, again, strict=True))
        other = copies(model, clips, seed=4)
        assert not torch.equal(sounds[0], other[0])


def test_health_reads_what_the_draw_says(data, student):
    clips = held_out_clips(data, 3, 10.0)
    numbers = health(student, clips, seed=0)
    batch = collate(clips, data.spec)
    noise = student.noise(3, sites=5 * HOP, seed=0)
    features = {k: v.double() if v.is_floating_point() else v for k, v in batch.features.items()}
    with torch.no_grad():
        draw, heard = student.draw(noise, features), batch.mask.bool()
    assert numbers["scale/mean"] == pytest.approx(float(draw.log_scale[heard].exp().mean()))
    assert numbers["scale/max"] == pytest.approx(float(draw.log_scale[heard].exp().max()))
    assert numbers["mean_abs_loc"] == pytest.approx(float(draw.loc[heard].abs().mean()))
    assert numbers["std/of_data"] == pytest.approx(float(batch.x[heard].std()), rel=1e-5)
    assert numbers["clipped_scales"] == 0
    # Per flow: the scales multiply up to the whole (0.1 is the last, fixed one).
    assert {"flow_0/scale", "flow_1/scale", "flow_1/mean_abs_loc"} <= set(numbers)
    assert "flow_2/scale" not in numbers


def test_health_sees_scales_at_their_bound_and_below_the_clip(data):
    student = wavenet_iaf(data.spec, flows=[1], channels=8, bound=3.0)
    with torch.no_grad():
        student.bijector.layers[0].conditioner.last.bias.fill_(-30.0)
    numbers = health(student, held_out_clips(data, 3, 10.0), seed=0, min_log_scale=-2.5)
    assert numbers["flow_0/at_bound"] == 1
    assert numbers["clipped_scales"] == 1
    assert numbers["std/ratio"] < 0.1


def test_a_model_that_ignores_its_label_is_found_out(data, teacher, student):
    clips = held_out_clips(data, 3, 10.0)
    assert change_by_label(student, clips, "speaker", data.spec, seed=0) > 0
    for model in (teacher, student):
        with torch.no_grad():
            model.encoder.embeddings["speaker"].weight.fill_(0.0)
    assert right_label_wins(teacher, clips, "speaker") == 0
    assert change_by_label(student, clips, "speaker", data.spec, seed=0) == 0


def test_a_model_that_knows_its_label_wins():
    class BySpeaker(Density):
        def __init__(self, spec):
            super().__init__()
            self.spec = spec

        def log_prob(self, x, features=None):
            level = torch.tensor([0.1, 0.2, 0.3])[features["speaker"]][:, None]
            return -(x - level).square()

    data = Uneven()
    clips = held_out_clips(data, 3, 10.0)
    clips = [
        type(c)(c.name, torch.full_like(c.x, 0.1 * (1 + i)), c.features)
        for i, c in enumerate(clips)
    ]
    assert right_label_wins(BySpeaker(data.spec), clips, "speaker") == 1


def test_true_pitch_comes_with_its_clip():
    data = Tones(count=6, seconds=0.3)
    (first, *_) = held_out_clips(data, 1, 10.0)
    assert first.name == data.held_out_names[0]
    assert torch.equal(first.f0, data.truth_f0(first.name)[: len(first.x) // data.spec.hop])
