"""Compare the speed of teacher, student and exported files, into RUN/benchmark.

Whole values are drawn in batches; signals are also streamed in chunks, through every exported file.
All take turns. check=true compares with what RUN/benchmark holds instead, or check=PATH with
another record, says what takes more than 10 % longer, and then ends with exit code 1;
benchmark.growth=true also draws how the cost grows; benchmark.peers=[vocos,zuko,nflows] lets other
libraries take part.
"""

from __future__ import annotations

import sys
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from distill.benchmark.batches import benchmark
from distill.benchmark.check import LIMIT, check_machine, compare
from distill.benchmark.environment import environment
from distill.benchmark.growth import measure_growth
from distill.benchmark.quality import quality_of
from distill.benchmark.record import Record, read_record
from distill.benchmark.settings import BenchmarkSettings
from distill.benchmark.streams import benchmark_streams
from distill.benchmark.tensorboard import write_runs, write_stream_runs
from distill.errors import CheckError
from distill.evaluation.placing import place_of
from distill.renamed import check_key
from distill.stages.benchmarked import Benchmarked
from distill.stages.differences import config_of
from distill.stages.finished import measure
from distill.stages.folders import MODELS, root_of
from distill.stages.manifest import read_manifest
from distill.stages.typed_overrides import config_path_of, typed_overrides
from distill.stages.work import StageRecord, tell
from distill.training import Tracker


def run(config: DictConfig) -> dict[str, float]:
    """Measure medians of runs that take turns, noise included, beside what the machine can do.

    Errors:
        FileExistsError: It is finished, and neither `resume` nor `overwrite` is set.
        ValueError: Settings out of range, an export of another student, or a record of another
            machine.
        CheckError: A check finds a sampler slower than recorded.
    """
    old = _recorded(config)
    settings = _settings(config, old)
    things = Benchmarked.of(config, settings)
    if old is not None:
        check_machine(old.speed.environment, environment(*place_of(things.student)))
        _note_others(config, things)
        return _check(old, _measured(things, settings))
    folder = root_of(config) / "benchmark"

    def work(_: StageRecord) -> dict[str, float]:
        record = _measured(things, settings)
        write_runs(record.speed, folder)
        write_stream_runs(record.stream, folder)
        reports = [record.speed.report(), record.stream.report()]
        if settings.growth:
            grown = measure_growth(
                things.make,
                settings.growth_over,
                things.features,
                settings.sites,
                settings.repeats,
                settings.seconds,
            )
            reports.append(grown.report())
        scalars: dict[str, float] = {}
        with Tracker(folder) as tracker:
            for report in reports:
                tracker.report(report, 0)
                scalars |= report.scalars
            record.write(folder)
            tell(folder, (table for report in reports for table in report.tables.values()))
            return tracker.metrics(scalars)  # type: ignore[return-value]

    mine = config_of(config, "benchmark", things.saved["student"].config)
    mine.pop("check", None)
    mine |= {"device": config.device, "threads": config.threads}
    mine["data"] = things.data
    return measure(config, "benchmark", folder, mine, things.made_from, work)


def _measured(things: Benchmarked, settings: BenchmarkSettings) -> Record:
    speed = benchmark(
        things.teacher,
        things.student,
        things.exports,
        settings.batch_sizes,
        things.features,
        settings.repeats,
        settings.seconds,
        settings.sites,
        settings.teacher,
        settings.student,
        settings.peers,
    )
    stream = benchmark_streams(
        things.student,
        things.files if "exports" in settings.student else [],
        settings.chunks,
        settings.pushes,
        settings.seconds,
        features=things.first_features,
        eager="eager" in settings.student,
    )
    for table in (speed, stream):
        table.quality = quality_of(table.runs(), things.quality, things.reduced)
    return Record(settings.plain(), speed, stream)


def _recorded(config: DictConfig) -> Record | None:
    """Return the record that is to be compared with, `None` where nothing is."""
    check = config.get("check")
    if not check:
        return None
    beside = [name for name in ("resume", "overwrite") if config[name]]
    if beside:
        raise ValueError(
            f"check: wanted no {beside[0]} beside it, since a check writes nothing, got "
            f"{beside[0]}=true. Leave one of them out."
        )
    return read_record(root_of(config) / "benchmark" if check is True else Path(str(check)))


def _note_others(config: DictConfig, things: Benchmarked) -> None:
    """Say so on stderr if the run's own record is of other models than it holds now."""
    folder = root_of(config) / "benchmark"
    record = read_manifest(folder) if config.check is True else None
    made_from = record.made_from if record else {}
    others = [r for r in MODELS if made_from.get(r, things.made_from[r]) != things.made_from[r]]
    if others:
        print(
            f"note: {folder} is of another {' and '.join(others)} than the run holds now, which "
            "may be of another size.",
            file=sys.stderr,
            flush=True,
        )


def _settings(config: DictConfig, old: Record | None) -> BenchmarkSettings:
    """Return the settings; in a check those of the record, under what is typed now.

    Errors:
        ValueError: A key that has been replaced, with the new one.
    """
    values = OmegaConf.to_container(config.benchmark, resolve=True)
    assert isinstance(values, dict)
    given = {str(key): value for key, value in values.items()}
    for name in given:
        check_key(f"benchmark.{name}")
    if old is None:
        return BenchmarkSettings.of(given)
    typed = [config_path_of(override).split(".") for override in typed_overrides()]
    now = {place[1] for place in typed if place[0] == "benchmark" and len(place) > 1}
    return BenchmarkSettings.of({**old.settings, **{name: given[name] for name in now}})


def _check(old: Record, new: Record) -> dict[str, float]:
    verdict = compare(old, new)
    lines = [f"slower: {line}" for line in verdict.slower]
    lines += [f"the machine is slower: {line}" for line in verdict.drifted]
    lines += [f"not measured now: {name}" for name in verdict.unseen]
    lines += [f"as fast as recorded: {verdict.good}"]
    print("\n".join(lines))
    if verdict.slower:
        raise CheckError(
            f"{len(verdict.slower)} samplers take more than {round(100 * LIMIT - 100)} % longer "
            "than recorded, beyond what the machine itself does."
        )
    return {"slower": 0.0, "drifted": float(len(verdict.drifted)), "good": float(verdict.good)}
