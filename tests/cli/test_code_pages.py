"""Paths in letters that the terminal's code page lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

QUICK = ["debug=two_steps", "evaluation.pictures=false", "evaluation.watch_count=9", "threads=1"]
QUICK += ["teacher.layers=1", "teacher.hidden=[4]", "evaluation.count=30", "data=points"]


@pytest.mark.slow
def test_a_path_in_japanese_works_under_cp1252(tmp_path: Path) -> None:
    place = tmp_path / "日本 (1)"
    place.mkdir()
    rows = "\n".join(f"{a},{b}" for a, b in np.random.default_rng(0).normal(size=(60, 2)))
    (place / "表.csv").write_text(f"高さ,b\n{rows}\n", encoding="utf-8")
    run = f"run={place / 'run'}"
    stages = [
        ["teacher", run, *QUICK, f"data.path={place / '表.csv'}"],
        ["sample", run, "model=teacher", "count=3", f"output={place / '出.csv'}"],
    ]
    pages = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252", "LC_ALL": "C.UTF-8"}
    for words in stages:
        done = subprocess.run(
            [sys.executable, "-m", "distill", *words],
            env=os.environ | pages,
            cwd=Path(__file__).parents[2],
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        assert b"\\u65e5\\u672c" in done.stdout
    lines = (place / "出.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "高さ,b"
    assert len(lines) == 4
