"""Compare the speed of teacher, student and exported files, into RUN/benchmark.

Whole values are drawn in batches; signals are also streamed in chunks, through every exported file.
"""

from __future__ import annotations

from collections.abc import Callable

from omegaconf import DictConfig

from distill.configure import build
from distill.contract import Features
from distill.evaluation.speed import benchmark, cut, rows, sites_of
from distill.evaluation.speed_runs import write_runs, write_stream_runs
from distill.evaluation.stream_speed import benchmark_streams
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
    sites, features = sites_of(student.spec, settings.sites), None
    if student.spec.features:
        data = build(saved_node(config, saved, "data"), trusted=config.trusted)
        features = cut(next(iter(data.held_out(largest))).features, student.spec, sites)
    folder = root_of(config) / "benchmark"
    write_config(config, folder)
    files = sorted(
        path for path in (root_of(config) / "export").glob(FILES) if path.suffix != ".json"
    )
    with Tracker(folder) as tracker:
        table = benchmark(
            teacher,
            student,
            {format_of(path): _sampler(load(path), features, sites) for path in files},
            settings.batch_sizes,
            features,
            repeats=settings.repeats,
            seconds=settings.seconds,
            sites=sites,
            compiled=settings.compiled,
        )
        write_runs(table, folder)
        streams = benchmark_streams(
            student.cpu(), files, settings.chunks, settings.seconds, features=rows(features, 1)
        )
        write_stream_runs(streams, folder)
        scalars: dict[str, float] = {}
        for report in (table.report(), streams.report()):
            tracker.report(report, 0)
            print("\n\n".join(report.tables.values()))
            scalars |= report.scalars
        return tracker.metrics(scalars)  # type: ignore[return-value]


def _sampler(file: Exported, features: Features, sites: int | None) -> Callable[[int], object]:
    return lambda count: file.sample(count, rows(features, count), sites=sites)
