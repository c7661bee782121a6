"""What a comparison measured, as a file that a later one is held against."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill.benchmark.calibration import Calibration
from distill.benchmark.comparison import Comparison
from distill.benchmark.row import Row
from distill.benchmark.stream_row import StreamRow
from distill.benchmark.stream_table import StreamTable
from distill.benchmark.table import SpeedTable
from distill.files import write_json

NAME = "record.json"
_FORMAT = 1


@dataclass
class Record:
    """Both tables of a comparison, and the settings that it was made with.

    Arguments:
        settings: What makes the work the same: batch sizes, chunks, rounds.
        speed: Whole values.
        stream: Chunks; empty where values do not stream.
    """

    settings: dict[str, Any]
    speed: SpeedTable
    stream: StreamTable

    def write(self, folder: Path) -> Path:
        """Write `record.json` into a folder."""
        values = {
            "format": _FORMAT,
            "settings": self.settings,
            "sites": self.speed.sites,
            "environment": self.speed.environment,
            "speed": _plain(self.speed),
            "stream": _plain(self.stream),
        }
        write_json(folder / NAME, values)
        return folder / NAME


def read_record(path: str | Path) -> Record:
    """Read the record of a file, or the one in a folder.

    Errors:
        FileNotFoundError: There is none.
        ValueError: It is none that this version can read.
    """
    path = Path(path).expanduser()
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: no record of a benchmark there. Make one with `distill benchmark run=RUN`, "
            "or name another with check=PATH."
        )
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["format"] != _FORMAT:
            raise ValueError(f"format {values['format']}")
        facts, speed, stream = values["environment"], values["speed"], values["stream"]
        rows = [Row.from_dict(row) for row in speed["rows"]]
        chunks = [StreamRow.from_dict(row) for row in stream["rows"]]
        return Record(
            dict(values["settings"]),
            SpeedTable(dict(facts), _roofs(speed), rows, sites=values["sites"]),
            StreamTable(dict(facts), _roofs(stream), chunks),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise ValueError(
            f"{file}: not a record of a benchmark that this version reads ({reason}). Measure "
            "again with overwrite=true."
        ) from error


def _plain(table: Comparison[Any]) -> dict[str, Any]:
    return {
        "calibrations": {name: asdict(roof) for name, roof in table.calibrations.items()},
        "rows": [row.to_dict() for row in table.rows],
    }


def _roofs(values: Mapping[str, Any]) -> dict[str, Calibration]:
    return {name: Calibration.from_dict(roof) for name, roof in values["calibrations"].items()}
