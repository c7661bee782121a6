"""Evaluation of vector densities: toys, point clouds, tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from distill.checks import check_number
from distill.contract import Features
from distill.data import Data
from distill.evaluation.coverage import Coverage, Neighborhood, coverage
from distill.evaluation.divergence import (
    forward_kl_of,
    jensen_shannon,
    reverse_kl,
    reverse_kl_of,
    score_draws,
    score_samples,
)
from distill.evaluation.estimate import held_out_nll
from distill.evaluation.evaluator import Evaluator, Report
from distill.evaluation.placing import evaluating, held_out_features, move, place_of, rows_of
from distill.models import Density, Flow
from distill.sharing import leads

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PointsEvaluator(Evaluator):
    """Likelihood, divergences, coverage and pictures of values with a fixed number of sites.

    Scalars are nats a value unless they end in `per_site`; each estimate comes with its
    `standard_error`. `evaluate` gives, for `teacher` and `student`, `held_out_nll`, `coverage/*`,
    `recall` and `precision`, and for the student `kl_reverse`, `kl_forward` and `jensen_shannon`.

    Arguments:
        count: Samples in `evaluate`.
        watch_count: Samples in `watch`.
        student_nll_sites: Largest T for which the held-out NLL of a student is computed too: an IAF
            needs T steps for it.
        neighbors: Most training, held-out and sampled values in recall and precision; with more
            than 16 sites, a quarter of it.
        standardize: Measure distances in units of each site's scale: for tables of mixed units.
        pictures: Draw figures.
        resolution: Of the density's heatmap.
        points: Points in a picture.
    """

    def __init__(
        self,
        count: int = 20_000,
        watch_count: int = 2000,
        student_nll_sites: int = 64,
        neighbors: int = 20_000,
        standardize: bool = False,
        pictures: bool = True,
        resolution: int = 150,
        points: int = 4000,
    ) -> None:
        if min(count, watch_count, neighbors, points) < 2:
            raise ValueError(
                "PointsEvaluator: wanted count, watch_count, neighbors and points of at least 2, "
                f"got {count}, {watch_count}, {neighbors}, {points}."
            )
        check_number("evaluation.student_nll_sites", student_nll_sites, low=0, whole=True)
        check_number("evaluation.resolution", resolution, low=2, whole=True)
        self.count = count
        self.watch_count = watch_count
        self.student_nll_sites = student_nll_sites
        self.neighbors = neighbors
        self.standardize = standardize
        self.pictures = pictures
        self.resolution = resolution
        self.points = points

    def watch(
        self, model: Density, data: Data, seed: int, teacher: Density | None = None
    ) -> Report:
        """Look at a model during training; with a teacher, at a student."""
        report, sites = Report(), _sites(data)
        features = held_out_features(data, self.watch_count)
        if teacher is not None:
            estimate = reverse_kl(model, teacher, self.watch_count, seed, features)
            report.add("kl_reverse", estimate, sites)
        if teacher is None or sites <= self.student_nll_sites:
            report.add(
                "held_out_nll", held_out_nll(model, data, limit=10 * self.watch_count), sites
            )
        if not leads():
            return report
        samples = _sample(model, self.watch_count, features, seed)
        self._cover(report, "", coverage(samples, data.modes) if data.modes else None)
        if self.pictures:
            self._draw_model(report, "", model, samples, data, features, seed, self.resolution // 2)
        return report

    def evaluate(self, teacher: Density, student: Density, data: Data, seed: int) -> Report:
        """Compare a student with its teacher and with the data."""
        report, sites = Report(), _sites(data)
        features = held_out_features(data, self.count)
        draws = score_draws(student, teacher, self.count, seed, features)
        samples = score_samples(student, teacher, self.count, seed, features)
        report.add("teacher/held_out_nll", held_out_nll(teacher, data), sites)
        if sites <= self.student_nll_sites:
            report.add("student/held_out_nll", held_out_nll(student, data), sites)
        report.add("student/kl_reverse", reverse_kl_of(draws), sites)
        report.add("student/kl_forward", forward_kl_of(samples), sites)
        report.add("student/jensen_shannon", jensen_shannon(draws, samples), sites)
        if data.entropy is not None:
            report.scalars["data/entropy"] = data.entropy
        limit = self.neighbors if sites <= 16 else max(2, self.neighbors // 4)
        # At most one epoch, so that no value is its own neighbor.
        train = data.train_batch(0, min(limit, data.train_size or limit), seed).x
        held_out = _held_out_values(data, limit)
        scale = torch.tensor(data.spec.scale) if self.standardize else None
        neighborhood = Neighborhood.of(train, scale)
        for name, x in {"teacher": samples.x, "student": draws.x}.items():
            covered = coverage(x, data.modes) if data.modes else None
            self._cover(report, f"{name}/", covered)
            report.scalars[f"{name}/recall"] = neighborhood.recall(x[:limit], held_out)
            report.scalars[f"{name}/precision"] = neighborhood.precision(x[:limit])
        if self.pictures:
            report.figures["samples"] = self._draw_samples(samples.x, draws.x, train, data)
            for name, model, x in (("teacher", teacher, samples.x), ("student", student, draws.x)):
                self._draw_model(
                    report, f"{name}/", model, x, data, features, seed, self.resolution
                )
        report.tables["summary"] = _table(report.scalars)
        return report

    @staticmethod
    def _cover(report: Report, prefix: str, covered: Coverage | None) -> None:
        if covered is None:
            return
        for name, share in zip(covered.names, covered.shares, strict=True):
            report.scalars[f"{prefix}coverage/{name}"] = share
        report.scalars[f"{prefix}coverage/outside"] = covered.outside
        report.scalars[f"{prefix}coverage/largest_deviation"] = covered.largest_deviation

    def _draw_samples(self, teacher: Tensor, student: Tensor, train: Tensor, data: Data) -> Figure:
        # Here and below, so that importing the package stays quick.
        from distill.evaluation.pictures import samples_figure

        sets = {"teacher": teacher, "student": student, "data": train}
        return samples_figure(
            {name: x[: self.points] for name, x in sets.items()},
            torch.tensor(data.spec.loc),
            torch.tensor(data.spec.scale),
        )

    def _draw_model(
        self,
        report: Report,
        prefix: str,
        model: Density,
        samples: Tensor,
        data: Data,
        features: Features,
        seed: int,
        resolution: int,
    ) -> None:
        from distill.evaluation.pictures import density_figure, layers_figure

        held_out = _held_out_values(data, self.points)
        report.figures[f"{prefix}density"] = density_figure(
            model, samples[: self.points], held_out, features, resolution
        )
        if isinstance(model, Flow):
            noise = model.noise(min(self.points, self.watch_count), seed=seed)
            given = move(rows_of(features, 0, len(noise)), noise.device, noise.dtype)
            report.figures[f"{prefix}layers"] = layers_figure(model, noise, given)


def _sites(data: Data) -> int:
    if data.spec.sites is None:
        raise ValueError(
            "PointsEvaluator: wanted values with a fixed number of sites, and this data's length "
            "varies. Choose another evaluation."
        )
    return data.spec.sites


def _sample(model: Density, count: int, features: Features, seed: int) -> Tensor:
    with evaluating(model):
        return model.sample(count, move(features, *place_of(model)), seed=seed).cpu()


def _held_out_values(data: Data, count: int) -> Tensor:
    parts, rows = [], 0
    for batch in data.held_out(4096):
        parts.append(batch.x)
        rows += len(batch.x)
        if rows >= count:
            break
    return torch.cat(parts)[:count]


def _table(scalars: dict[str, float]) -> str:
    """Write the scalars as Markdown, each estimate with its standard error on one line."""
    lines = ["| what | value | standard error |", "|---|---|---|"]
    for name, value in scalars.items():
        if name.endswith(("/standard_error", "/per_site")):
            continue
        error = scalars.get(f"{name}/standard_error")
        lines.append(f"| {name} | {value:.4f} | {'' if error is None else f'{error:.4f}'} |")
    return "\n".join(lines)
