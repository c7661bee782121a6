"""Evaluation of models of sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from distill.checks import check_number
from distill.data import Data
from distill.data.audio.mel import LogMel
from distill.data.audio.pitch import Pitch
from distill.evaluation.audio.clips import (
    HeldOutClip,
    collate,
    held_out_clips,
    rate_of,
    without_optional,
)
from distill.evaluation.audio.compare import Comparator, Comparison
from distill.evaluation.audio.copies import copies
from distill.evaluation.audio.griffin_lim import griffin_lim
from distill.evaluation.audio.health import health
from distill.evaluation.audio.labels import change_by_label, label_features, right_label_wins
from distill.evaluation.audio.likelihood import bits_per_sample, kl_per_site, nll_per_site
from distill.evaluation.audio.perceived import missing_measures
from distill.evaluation.audio.pictures import spectrograms_figure
from distill.evaluation.audio.recognition import accuracy, classifier_from, labels_of
from distill.evaluation.audio.table import comparison_table
from distill.evaluation.evaluator import Evaluator, Report
from distill.evaluation.placing import evaluating, move, place_of
from distill.models import Density, Flow
from distill.progress import tracked
from distill.sharing import leads


class AudioEvaluator(Evaluator):
    """Likelihood, divergence, spectra, pitch, level and sound of copies of held-out clips.

    `held_out_nll` and `kl_reverse` are nats a site, with their `standard_error` over clips.
    `evaluate` gives for `teacher`, `student` and, where there is a mel, `griffin_lim` what
    `Comparator` measures, and for the student `ratio/*` to its teacher. Of a student that can do
    without some features there are also `student_from_mel`, its copies without them, and
    `estimates/*`, how near it comes to them.

    Arguments:
        count: Clips in `evaluate`.
        seconds: Longest clip in `evaluate`.
        watch_count: Clips in `watch`.
        watch_seconds: Longest clip in `watch`.
        teacher_every: Watch a teacher's free-running copies every so many times only: sampling is
            sequential. 0 never does.
        temperature: Scales the noise of copies.
        skip: Sites left out of the reverse KL at the start of each clip.
        shown: Clips whose sound and spectrogram are kept.
        griffin_lim: Show what Griffin-Lim makes of the same mel.
        pitch: How pitch is followed: range and resolution.
        classifier: Folder of a trained classifier (`RUN/classifier`), which is then asked what it
            recognizes in clips and copies.
    """

    def __init__(
        self,
        count: int = 16,
        seconds: float = 4.0,
        watch_count: int = 8,
        watch_seconds: float = 1.0,
        teacher_every: int = 1,
        temperature: float = 1.0,
        skip: int = 0,
        shown: int = 4,
        griffin_lim: bool = True,
        pitch: Pitch | None = None,
        classifier: str | Path | None = None,
    ) -> None:
        if min(count, watch_count) < 2 or min(seconds, watch_seconds) <= 0:
            raise ValueError(
                "AudioEvaluator: wanted count and watch_count of at least 2 and seconds above 0, "
                f"got {count}, {watch_count}, {seconds}, {watch_seconds}."
            )
        check_number("evaluation.temperature", temperature, low=0)
        for name, value in (("teacher_every", teacher_every), ("skip", skip), ("shown", shown)):
            check_number(f"evaluation.{name}", value, low=0, whole=True)
        self.count, self.seconds = count, seconds
        self.watch_count, self.watch_seconds = watch_count, watch_seconds
        self.teacher_every = teacher_every
        self.temperature, self.skip, self.shown = temperature, skip, shown
        self.griffin_lim = griffin_lim
        self.pitch = pitch or Pitch()
        self.classifier = classifier

    def check(self, data: Data) -> None:
        """Raise unless there are two clips to watch, and to evaluate, whose spread tells errors."""
        for part in {"held_out", "validation"} & set(data.parts):
            found = len(held_out_clips(data.part(part), 2, self.watch_seconds))
            if found < 2:
                raise ValueError(
                    f"evaluation: wanted 2 clips or more in the part {part!r} of "
                    f"{type(data).__name__}, got {found}. Give it more clips, or keep back more of "
                    f"them by data.{part}."
                )

    def watch(
        self, model: Density, data: Data, seed: int, teacher: Density | None = None
    ) -> Report:
        """Look at a model during training; with a teacher, at a student."""
        report = Report()
        clips = held_out_clips(data, self.watch_count, self.watch_seconds)
        runs_freely = bool(self.teacher_every) and self.looks % self.teacher_every == 0
        self.looks += 1
        if teacher is None:
            report.add("held_out_nll", nll_per_site(model, clips), 1)
            nats = report.scalars["held_out_nll"]
            report.scalars["held_out_nll/bits_per_sample"] = bits_per_sample(model, nats)
        else:
            assert isinstance(model, Flow)
            report.add("kl_reverse", kl_per_site(model, teacher, clips, seed, self.skip), 1)
            for name, value in health(model, clips, seed).items():
                report.scalars[f"health/{name}"] = value
        heard = clips[: max(1, self.shown)]
        made: dict[str, list[Tensor]] = {}
        if teacher is not None:
            made["student"] = copies(model, heard, seed, self.temperature)
        if runs_freely:
            made["teacher"] = copies(teacher or model, heard, seed, self.temperature)
        if not leads():
            return report
        comparator = Comparator(heard, data.spec, self.pitch)
        found = {name: comparator(sounds) for name, sounds in made.items()}
        for name, comparison in found.items():
            for key, value in comparison.scalars.items():
                report.scalars[f"{name}/{key}"] = value
        self._show(report, comparator, made, found, shown=1)
        return report

    def evaluate(self, teacher: Density, student: Density, data: Data, seed: int) -> Report:
        """Compare a student with its teacher and with the data."""
        assert isinstance(student, Flow)
        report, spec = Report(), data.spec
        clips = held_out_clips(data, self.count, self.seconds)
        report.add("teacher/held_out_nll", nll_per_site(teacher, clips), 1)
        report.scalars["teacher/bits_per_sample"] = bits_per_sample(
            teacher, report.scalars["teacher/held_out_nll"]
        )
        report.add("student/kl_reverse", kl_per_site(student, teacher, clips, seed, self.skip), 1)
        made = {
            "teacher": copies(teacher, clips, seed, self.temperature),
            "student": copies(student, clips, seed, self.temperature),
        }
        if any(feature.optional for feature in spec.features.values()):
            bare = [without_optional(clip, spec) for clip in clips]
            made["student_from_mel"] = copies(student, bare, seed, self.temperature)
            report.scalars |= estimates(student, clips)
        if self.griffin_lim and "mel" in spec.features:
            made["griffin_lim"] = [_from_mel(clip, data) for clip in tracked(clips, "Griffin-Lim")]
        comparator = Comparator(clips, spec, self.pitch)
        found = {name: comparator(sounds) for name, sounds in made.items()}
        for name, comparison in found.items():
            for key, value in comparison.scalars.items():
                report.scalars[f"{name}/{key}"] = value
        for key, value in comparator.of_references().items():
            report.scalars[f"reference/{key}"] = value
        for name in ("stft", "log_mel_mae", "log_mel_rmse"):
            mine, theirs = (found[who].scalars.get(name) for who in ("student", "teacher"))
            if mine is not None and theirs:
                report.scalars[f"student/ratio/{name}"] = mine / theirs
        for name in label_features(spec):
            wins, change = f"teacher/right_{name}_wins", f"student/change_by_{name}"
            report.scalars[wins] = right_label_wins(teacher, clips, name)
            report.scalars[change] = change_by_label(student, clips, name, spec, seed)
        self._recognize(report, clips, made, data)
        columns = list(made)
        if any(name.startswith("reference/") for name in report.scalars):
            columns.insert(0, "reference")
        table = comparison_table(report.scalars, columns)
        missing = missing_measures()
        if missing:
            table += f"\n\nNot measured, since not installed: {', '.join(missing)}."
        report.tables["summary"] = table
        for name, value in health(student, clips, seed).items():
            report.scalars[f"student/health/{name}"] = value
        self._show(report, comparator, made, found, self.shown)
        return report

    def _recognize(
        self,
        report: Report,
        clips: Sequence[HeldOutClip],
        made: dict[str, list[Tensor]],
        data: Data,
    ) -> None:
        if self.classifier is None:
            return
        classifier = classifier_from(self.classifier, rate_of(data.spec))
        labels = labels_of(clips, classifier.target, data)
        for name, sounds in {"reference": [c.x for c in clips], **made}.items():
            report.scalars[f"{name}/accuracy"] = accuracy(classifier, sounds, labels)

    @staticmethod
    def _show(
        report: Report,
        comparator: Comparator,
        made: dict[str, list[Tensor]],
        found: dict[str, Comparison],
        shown: int,
    ) -> None:
        rate, mel = comparator.rate, comparator.mel
        for number, clip in enumerate(comparator.clips[:shown]):
            suffix = f"_{number}" if shown > 1 else ""
            sounds = {"reference": clip.x, **{k: v[number] for k, v in made.items()}}
            tracks = {"reference": comparator.tracks[number]}
            tracks |= {name: comparison.tracks[number] for name, comparison in found.items()}
            report.figures[f"spectrograms{suffix}"] = spectrograms_figure(
                sounds, rate, tracks, mel.hop, clip.name
            )
            for name, sound in sounds.items():
                report.audio[f"{name}{suffix}"] = (sound, rate)


@torch.no_grad()
def estimates(model: Density, clips: Sequence[HeldOutClip]) -> dict[str, float]:
    """Return how near an encoder's estimates come to the features of clips, a mean over clips.

    Clips are taken one by one: the silence that fills up a batch would be easy to tell.
    """
    measure = getattr(getattr(model, "encoder", None), "accuracy", None)
    if measure is None:
        return {}
    device, dtype = place_of(model)
    found: dict[str, list[float]] = {}
    with evaluating(model):
        for clip in clips:
            features = collate([clip], model.spec).features
            for name, value in measure(move(features, device, dtype)).items():
                found.setdefault(name, []).append(value)
    return {f"estimates/{name}": sum(values) / len(values) for name, values in found.items()}


def _from_mel(clip: HeldOutClip, data: Data) -> Tensor:
    mel = LogMel.of(data.spec)
    return griffin_lim(clip.features["mel"], len(clip.x), rate_of(data.spec), mel)
