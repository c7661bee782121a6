"""Compare the speed of teacher, student and exported files, into RUN/benchmark.

Whole values are drawn in batches; signals are also streamed in chunks, through every exported file.
"""

from __future__ import annotations

from collections.abc import Callable

from omegaconf import DictConfig

from distill.checks import check_number
from distill.configure import build
from distill.contract import Features
from distill.evaluation.speed import benchmark, cut, sites_of
from distill.evaluation.speed_runs import write_runs, write_stream_runs
from distill.evaluation.speed_samplers import rows
from distill.evaluation.stream_speed import benchmark_streams
from distill.export import Exported, format_of, load
from distill.models import Flow
from distill.stages.comparing import config_of
from distill.stages.export import FILES
from distill.stages.exported import check_current
from distill.stages.finished import measure
from distill.stages.folders import device_of, root_of, saved_model, saved_node, weights_of
from distill.stages.work import Work
from distill.training import Tracker


def run(config: DictConfig) -> dict[str, float]:
    """Measure medians of repeated runs, noise included, and say which baseline a ratio is to.

    Errors:
        FileExistsError: It is finished, and neither `resume` nor `overwrite` is set.
        ValueError: Settings out of range, or an export of another student.
    """
    device = device_of(config)
    _check(config.benchmark)
    saved, of_teacher = saved_model(config, "student"), saved_model(config, "teacher")
    teacher = of_teacher.model(config.trusted).to(device)
    student = saved.model(config.trusted).to(device)
    assert isinstance(student, Flow)
    settings = config.benchmark
    largest = max(settings.batch_sizes)
    sites, features = sites_of(student.spec, settings.sites), None
    if student.spec.features:
        data = build(saved_node(config, saved, "data"), trusted=config.trusted)
        features = cut(next(iter(data.held_out(largest))).features, student.spec, sites)
    root = root_of(config)
    folder, made_from = root / "benchmark", {"student": weights_of(saved)}
    files = sorted(path for path in (root / "export").glob(FILES) if path.suffix != ".json")
    exports = {format_of(path): load(path) for path in files}
    for exported in exports.values():
        check_current(exported, made_from["student"], root)
    made_from |= {"teacher": weights_of(of_teacher), "exports": ", ".join(exports)}

    def work(_: Work) -> dict[str, float]:
        table = benchmark(
            teacher,
            student,
            {name: _sampler(exported, features, sites) for name, exported in exports.items()},
            settings.batch_sizes,
            features,
            repeats=settings.repeats,
            seconds=settings.seconds,
            sites=sites,
            compiled=settings.compiled,
            jacobi=build(settings.jacobi) if settings.jacobi else None,
        )
        write_runs(table, folder)
        streams = benchmark_streams(
            student.cpu(), files, settings.chunks, settings.seconds, features=rows(features, 1)
        )
        write_stream_runs(streams, folder)
        scalars: dict[str, float] = {}
        with Tracker(folder) as tracker:
            for report in (table.report(), streams.report()):
                tracker.report(report, 0)
                print("\n\n".join(report.tables.values()))
                scalars |= report.scalars
            return tracker.metrics(scalars)  # type: ignore[return-value]

    return measure(config, "benchmark", folder, config_of(config, "benchmark"), made_from, work)


def _check(settings: DictConfig) -> None:
    check_number("benchmark.repeats", settings.repeats, low=1, whole=True)
    check_number("benchmark.seconds", settings.seconds, above=0)
    if settings.sites is not None:
        check_number("benchmark.sites", settings.sites, low=1, whole=True)
    if not settings.batch_sizes:
        raise ValueError("benchmark.batch_sizes: wanted one or more, got none.")
    for size in settings.batch_sizes:
        check_number("benchmark.batch_sizes", size, low=1, whole=True)
    for seconds in settings.chunks:
        check_number("benchmark.chunks", seconds, above=0)


def _sampler(file: Exported, features: Features, sites: int | None) -> Callable[[int], object]:
    return lambda count: file.sample(count, rows(features, count), sites=sites)
