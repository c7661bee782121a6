"""Compare the sampling speed of teacher, student and exported files, into RUN/benchmark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from distill.configure import build
from distill.contract import Features
from distill.evaluation.speed import benchmark, rows
from distill.evaluation.speed_runs import write_runs
from distill.export import Exported, format_of, load
from distill.models import Flow
from distill.stages.evaluate import saved_node
from distill.stages.export import FILES
from distill.stages.folders import device_of, root_of, saved_model
from distill.stages.training import write_config
from distill.training import Tracker


def run(config: DictConfig) -> dict[str, float]:
    """Measure medians of repeated runs, noise included, and say which baseline a ratio is to."""
    device = device_of(config)
    saved = saved_model(config, "student")
    teacher = saved_model(config, "teacher").model(config.trusted).to(device)
    student = saved.model(config.trusted).to(device)
    assert isinstance(student, Flow)
    settings = config.benchmark
    largest = max(settings.batch_sizes)
    features: Features = None
    if student.spec.features:
        data = build(saved_node(config, saved, "data"), trusted=config.trusted)
        features = next(iter(data.held_out(largest))).features
    folder = root_of(config) / "benchmark"
    write_config(config, folder)
    with Tracker(folder) as tracker:
        table = benchmark(
            teacher,
            student,
            _exported(root_of(config) / "export", features, settings.sites),
            settings.batch_sizes,
            features,
            repeats=settings.repeats,
            seconds=settings.seconds,
            sites=settings.sites,
            compiled=settings.compiled,
        )
        write_runs(table, folder)
        report = table.report()
        tracker.report(report, 0)
        return tracker.metrics(report.scalars)  # type: ignore[return-value]


def _exported(
    folder: Path, features: Features, sites: int | None
) -> dict[str, Callable[[int], object]]:
    """Return a sampler for every file that `distill export` left."""

    def sampler(file: Exported) -> Callable[[int], object]:
        return lambda count: file.sample(count, rows(features, count), sites=sites)

    files = sorted(path for path in folder.glob(FILES) if path.suffix != ".json")
    return {format_of(path): sampler(load(path)) for path in files}
