"""A pipe in the place of a record is none: its end would never come."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distill.cli.recorded import recorded_overrides
from distill.serving.static_page import ABOUT, weights_of_page
from distill.stages.manifest import read_manifest
from distill.stages.work import numbers_of

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="wants named pipes")


def test_no_record_is_waited_for_in_a_pipe(tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    for name in ("manifest.json", "metrics.json", "overrides.json", "config.yaml"):
        os.mkfifo(teacher / name)
    os.mkfifo(tmp_path / ABOUT)
    assert read_manifest(teacher) is None
    assert numbers_of(teacher) == {}
    assert recorded_overrides("student", [f"run={tmp_path}"]) == []
    assert weights_of_page(tmp_path) is None
