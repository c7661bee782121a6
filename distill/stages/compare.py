"""Compare runs: where their configs differ, how they ended, and their metrics side by side.

A Markdown table on stdout; output=table.json writes it as JSON, tensorboard=FOLDER as a page of
TensorBoard's HParams. A run is named by its folder, all jobs of a sweep by the folder they share.
Metrics are named STAGE/NAME, or by what follows a slash: metrics=[student/stft,kl*].
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from distill.files import read_text, write_json
from distill.stages.comparing.hparams import write_page
from distill.stages.comparing.runs import find_runs
from distill.stages.comparing.table import Comparison, compare
from distill.stages.finished import measure
from distill.stages.manifest import read_manifest
from distill.stages.typed_overrides import is_typed
from distill.stages.work import StageRecord


def run(config: DictConfig) -> None:
    """Print the table of the runs, and write what else is asked for.

    Errors:
        FileNotFoundError: A folder is not there.
        FileExistsError: The file or the page exists, and `overwrite` is not set; something else
            lies there.
        ValueError: A folder holds no run, or no run has a metric that is asked for.
    """
    named = [str(name) for name in config.runs]
    if is_typed("run"):
        named.append(str(config.run))
    metrics = None if config.metrics is None else [str(name) for name in config.metrics]
    made = compare(find_runs(named), metrics, config.sort, config.descending)
    output = None if config.output is None else Path(config.output).expanduser()
    page = None if config.tensorboard is None else Path(config.tensorboard).expanduser().resolve()
    if output is not None:
        _check_file(output, config.overwrite, made.record())
    if page is not None:
        _write_page(made, page, config)
    if output is not None:
        write_json(output, made.record())
    print(made.markdown(config.transpose), flush=True)


def _check_file(path: Path, overwrite: bool, record: Mapping[str, Any]) -> None:
    if path.suffix.lower() != ".json":
        raise ValueError(f"output={path}: wanted a .json file. The table itself goes to stdout.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists. Name another output=, or set overwrite=true.")
    if path.exists() and not _is_table(path, record):
        raise FileExistsError(f"output={path}: is no table of `distill compare`. Name another.")


def _is_table(path: Path, record: Mapping[str, Any]) -> bool:
    """Whether a file is an earlier table, and nothing of a run."""
    try:
        found = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() == record.keys()


def _write_page(made: Comparison, folder: Path, config: DictConfig) -> None:
    record = read_manifest(folder)
    fresh = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    # Replacing a page removes the events below it, which may not be those of a training.
    if not fresh and (record is None or record.stage != "compare"):
        raise FileExistsError(
            f"tensorboard={folder}: holds something else. Name a folder of its own."
        )
    asked = ("runs", "metrics", "sort", "descending")
    mine = {key: OmegaConf.to_container(config)[key] for key in asked}  # type: ignore[call-overload,index]
    table = json.dumps(made.record(), sort_keys=True, default=str)

    def work(_: StageRecord) -> dict[str, float]:
        write_page(made, folder)
        write_json(folder / "metrics.json", {})  # by which a finished stage is known
        return {}

    made_from = {"table": hashlib.sha256(table.encode()).hexdigest()}
    measure(config, "compare", folder, mine, made_from, work)
