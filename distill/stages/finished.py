"""Measuring stages: their results are kept while they are whole and of the same things."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from distill.differences import difference
from distill.stages.differences import FREE
from distill.stages.folders import check_ways
from distill.stages.manifest import COMPLETE, Manifest, read_manifest
from distill.stages.training import write_config
from distill.stages.work import StageRecord, alone_in, holds_numbers, numbers_of, recorded

_IGNORED = ("name", "run", *FREE)
"""The data's content is compared by its hash, wherever it lies."""


def measure(
    config: DictConfig,
    stage: str,
    folder: Path,
    mine: Mapping[str, Any],
    made_from: Mapping[str, Any],
    run: Callable[[StageRecord], dict[str, float]],
) -> dict[str, float]:
    """Run a measuring stage in its folder, unless it is finished there.

    Arguments:
        config: For `resume` and `overwrite`.
        stage: Its name.
        folder: Its folder.
        mine: What it reads of the config.
        made_from: Hashes of what it measures.
        run: Does the work and returns its numbers.

    Errors:
        FileExistsError: It is finished, and neither `resume` nor `overwrite` is set.
    """
    check_ways(config)
    with alone_in(folder):
        record = read_manifest(folder)
        if holds_numbers(folder, record) and (record is None or record.state == COMPLETE):
            changed = _changed(record, mine, made_from)
            if config.resume and changed is None:
                print(f"{stage}: finished, kept", flush=True)
                return numbers_of(folder)
            if config.resume:
                print(f"{stage}: done again, since {changed}", flush=True)
            elif not config.overwrite:
                stale = f", though {changed}" if changed else ""
                raise FileExistsError(
                    f"{folder}: holds a finished {stage}{stale}. Replace it with overwrite=true, "
                    "or name another run."
                )
        with recorded(folder, stage, mine, made_from) as work:
            write_config(mine, folder)
            return run(work)


def _changed(
    record: Manifest | None, mine: Mapping[str, Any], made_from: Mapping[str, Any]
) -> str | None:
    """Return what differs from the record of a finished stage, in words."""
    if record is None:
        return "it has no record of what it was made from"
    for name in sorted(made_from.keys() | record.made_from.keys()):
        if record.made_from.get(name) != made_from.get(name):
            return f"its {name} {'have' if name.endswith('s') else 'has'} changed"
    return difference(record.config, mine, _IGNORED)
