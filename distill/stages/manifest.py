"""The record that each stage leaves in its folder: what was made, of what, and whether whole."""

from __future__ import annotations

import json
import os
import platform
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from distill.errors import flat
from distill.files import read_text, write_json
from distill.interruption import Interrupted

NAME = "manifest.json"
RUNNING, COMPLETE, STOPPED, FAILED = "running", "complete", "stopped", "failed"
_FORMAT = 1
_PACKAGES = ("distill", "torch", "numpy", "onnxruntime", "hydra-core")


@dataclass
class Manifest:
    """What a stage made, and of what.

    Arguments:
        stage: Its name.
        state: `running`, `complete`, `stopped` by a signal, or `failed`.
        config: What it read, resolved.
        made_from: Hashes of what it was made from, by name: `data`, `teacher`, `student`.
        made: Hashes and counts of what it made.
        numbers: SHA-256 of its `metrics.json`, once it is complete.
        why: One line, where it is not complete.
        process: Who is at work, or was.
        versions: Of the packages that shape results.
        started: When, UTC.
        ended: When, UTC.
    """

    stage: str
    state: str
    config: dict[str, Any]
    made_from: dict[str, Any]
    made: dict[str, Any] = field(default_factory=dict)
    numbers: str | None = None
    why: str | None = None
    process: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    started: str = ""
    ended: str | None = None

    @classmethod
    def begin(cls, stage: str, config: Mapping[str, Any], made_from: Mapping[str, Any]) -> Manifest:
        """Return the record of a stage that starts here and now."""
        process = {"pid": os.getpid(), "host": socket.gethostname()}
        return cls(
            stage,
            RUNNING,
            dict(config),
            dict(made_from),
            process=process,
            versions=_versions(),
            started=_now(),
        )

    def end(self, state: str, why: str | None = None) -> None:
        """Say how it ended."""
        self.state, self.why, self.ended = state, why, _now()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Say how the work inside ended, whichever way it does."""
        try:
            yield
            self.end(COMPLETE)
        except Interrupted as signal:
            self.end(STOPPED, str(signal))
            raise
        except BaseException as error:
            self.end(FAILED, flat(f"{type(error).__name__}: {error}")[:300])
            raise

    def write(self, folder: Path, name: str = NAME) -> None:
        """Write `manifest.json` into the stage's folder, or a record of another name."""
        write_json(folder / name, {"format": _FORMAT, **asdict(self)})


def read_manifest(folder: Path, name: str = NAME) -> Manifest | None:
    """Read a stage's record; `None` where there is none that this version can read."""
    try:
        values = json.loads(read_text(folder / name))
        if values.pop("format") != _FORMAT:
            return None
        record = Manifest(**values)
        parts = (record.config, record.made_from, record.made, record.process)
        known = record.state in (RUNNING, COMPLETE, STOPPED, FAILED)
        return record if known and all(isinstance(part, dict) for part in parts) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
