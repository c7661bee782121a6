"""Export the student's sampler to every chosen format, verified, into RUN/export.

A format that is there already, and of this student, is kept. With page=true RUN/export/page is a
folder for any static host, where the student speaks in the visitor's browser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from distill.benchmark.formatting import markdown
from distill.evaluation import Report
from distill.export import Backend, accept
from distill.files import sha256_of
from distill.instantiate import build
from distill.stages import page
from distill.stages.differences import config_of
from distill.stages.folders import check_ways, root_of, saved_model, student_of, weights_of
from distill.stages.manifest import COMPLETE, read_manifest
from distill.stages.training import write_config
from distill.stages.work import (
    StageRecord,
    alone_in,
    holds_numbers,
    numbers_of,
    recorded,
    tell,
)
from distill.training import Tracker

FILES = "student.*"


def run(config: DictConfig) -> dict[str, float]:
    """Write, reload and compare each of `exports`; fail if one differs from the student.

    Errors:
        FileExistsError: A format is there that is of another student or has other settings, and
            neither `resume` nor `overwrite` is set.
        ExportMismatch: A file differs from the student.
    """
    check_ways(config)
    saved = saved_model(config, "student")
    student = student_of(config, saved)
    folder, mine = root_of(config) / "export", config_of(config, "export", saved.config)
    backends = backends_of(config)
    mine["exports"] = {name: mine["exports"][name] for name in backends}
    weights = weights_of(saved)
    page.check_wanted(config, folder, backends.values(), student, weights)
    with alone_in(folder):
        kept = _kept(config, folder, backends, mine["exports"], weights)
        record = read_manifest(folder)
        whole = record is not None and record.state == COMPLETE and holds_numbers(folder, record)
        whole = whole and kept.keys() == backends.keys()
        kept |= _beside(folder, backends, weights)
        if whole:
            page.write(config, folder, [entry["file"] for entry in kept.values()], weights)
            return numbers_of(folder)
        with (
            recorded(folder, "export", mine, {"student": weights}) as work,
            Tracker(folder) as tracker,
        ):
            write_config(mine, folder)
            numbers: dict[str, float] = {}
            work.made(**kept)
            for name, entry in kept.items():
                numbers |= _numbers(name, folder / entry["file"], _found(folder, entry))
            for name, backend in backends.items():
                if name in kept:
                    continue
                path, checked = accept(backend, student, folder, config=saved.config[saved.role])
                print(f"{path}: {checked}", flush=True)
                numbers |= _numbers(name, path, checked.to_dict())
                work.made(**{name: _entry(path, weights, mine["exports"][name])})
            _remove_others(folder, work)
            report = Report(
                scalars=numbers, tables={"summary": _table(work.manifest.made, numbers)}
            )
            tracker.report(report, 0)
            tell(folder, report.tables.values())
            written = tracker.metrics(numbers)
        # After the record: files that are whole stay so, whatever becomes of the page.
        page.write(
            config, folder, [entry["file"] for entry in work.manifest.made.values()], weights
        )
        return written  # type: ignore[return-value]


def backends_of(config: DictConfig) -> dict[str, Backend]:
    """Return the formats to write, those that are null left out.

    Errors:
        ValueError: None is left, or two would write one file.
    """
    wanted = config.exports or {}
    backends: dict[str, Backend] = {
        name: build(node) for name, node in wanted.items() if node is not None
    }
    if not backends:
        raise ValueError("exports: no format is left. Keep one, as in +export@exports.onnx=onnx.")
    names: dict[str, str] = {}
    for name, backend in backends.items():
        first = names.setdefault(backend.suffix, name)
        if first != name:
            raise ValueError(
                f"exports.{name}: would be written to student{backend.suffix}, as exports.{first} "
                f"is. Leave one out (~exports.{first}), or change exports.{first} itself."
            )
    return backends


def _entry(path: Path, weights: str, settings: Any) -> dict[str, Any]:
    beside = _sidecar(path)
    return {
        "file": path.name,
        "weights": weights,
        "settings": settings,
        "sha256": sha256_of(path),
        "sidecar": sha256_of(beside) if beside.is_file() else None,
    }


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _kept(
    config: DictConfig,
    folder: Path,
    backends: Mapping[str, Backend],
    settings: Mapping[str, Any],
    weights: str,
) -> dict[str, Any]:
    """Return the records of the formats that are there and stay.

    Errors:
        FileExistsError: One is there that would be replaced.
    """
    record = read_manifest(folder)
    had = record.made if record else {}
    kept: dict[str, Any] = {}
    for name, backend in backends.items():
        path = folder / f"student{backend.suffix}"
        if config.overwrite or not path.is_file():
            continue
        entry, old = _entry(path, weights, settings[name]), had.get(name)
        others = [key for key in entry if (old or {}).get(key, "") != entry[key]]
        if not others:
            print(f"{path}: of this student, kept")
            kept[name] = entry
        elif others == ["sidecar"]:
            print(f"{_sidecar(path)}: has gone or changed, so both are written again")
        elif not config.resume:
            raise FileExistsError(
                f"{path}: is of another student, was made with other settings, or has changed "
                "since. Replace it with overwrite=true, or name another run."
            )
    return kept


def _beside(folder: Path, backends: Mapping[str, Backend], weights: str) -> dict[str, Any]:
    """Return the records of this student's other formats, which are not asked for now."""
    record = read_manifest(folder)
    had = record.made if record else {}
    return {
        name: entry
        for name, entry in had.items()
        if name not in backends and _is_whole(folder, entry, weights)
    }


def _is_whole(folder: Path, entry: Any, weights: str) -> bool:
    """Whether a format's file is the one that its record is of."""
    if not isinstance(entry, dict) or entry.get("weights") != weights:
        return False
    path = folder / str(entry.get("file"))
    return path.parent == folder and path.is_file() and entry.get("sha256") == sha256_of(path)


def _remove_others(folder: Path, work: StageRecord) -> None:
    """Remove what an earlier export left of another student, under formats not asked for now."""
    mine = {entry["file"] for entry in work.manifest.made.values()}
    mine |= {f"{name}.json" for name in mine}
    for path in sorted(folder.glob(FILES)):
        if path.name not in mine:
            print(f"{path}: of another student, removed")
            path.unlink()


def _found(folder: Path, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what was found of a format's file; nothing where the JSON beside it has changed."""
    beside = _sidecar(folder / entry["file"])
    if not beside.is_file() or entry.get("sidecar") != sha256_of(beside):
        return {}
    found: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))["verification"]
    return found


def _numbers(name: str, path: Path, report: Mapping[str, Any]) -> dict[str, float]:
    if not report:
        return {}
    numbers = {
        f"{name}/error_x": report["x"],
        f"{name}/error_log_prob": report["log_prob"],
        f"{name}/error_relative": report["relative"],
        f"{name}/rms_x": report["rms_x"],
        f"{name}/megabytes": path.stat().st_size / 1e6,
    }
    if report["chunks"]:
        numbers[f"{name}/chunked_error_x"] = report["chunked_x"]
        numbers[f"{name}/chunked_error_log_prob"] = report["chunked_log_prob"]
    if report["decibels"] is not None:
        numbers[f"{name}/signal_to_error_db"] = report["decibels"]
    return numbers


def _table(made: Mapping[str, Any], numbers: Mapping[str, float]) -> str:
    """Return each format's file, size and largest differences from the eager model."""
    columns = {
        "MB": ("megabytes", "{:.2f}"),
        "error of x": ("error_x", "{:.1e}"),
        "of log-prob": ("error_log_prob", "{:.1e}"),
        "of x in chunks": ("chunked_error_x", "{:.1e}"),
        "signal to error, dB": ("signal_to_error_db", "{:.1f}"),
    }
    rows = []
    for name, entry in made.items():
        cells = {
            title: form.format(numbers[f"{name}/{key}"])
            for title, (key, form) in columns.items()
            if f"{name}/{key}" in numbers
        }
        rows.append({"format": name, **cells, "file": entry["file"]})
    return markdown(rows, ("format",), notes="file")
