"""Exports of another student than the run's: each stage that could use them says so."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from distill.cli import main
from distill.contract import DataSpec
from distill.models import iaf
from distill.models.checkpoint import Checkpoint
from distill.stages import export, export_file
from distill.stages.export_file import note_stale
from distill.stages.folders import weights_of
from distill.stages.manifest import Manifest, read_manifest

from ..cli.test_bad_input import QUICK


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run of a student and what looks like its export."""
    model = iaf(DataSpec(sites=2), layers=1, hidden=[4])
    saved = Checkpoint("student", {"student": model.recipe.node}, model.spec, model.state_dict())
    (tmp_path / "student").mkdir()
    saved.save(tmp_path / "student")
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "student.onnx").write_bytes(b"whole")
    (tmp_path / "export" / "student.onnx.json").write_text("{}")
    record = Manifest.begin("export", {}, {})
    record.made = {
        "onnx": export._entry(tmp_path / "export" / "student.onnx", weights_of(saved), {"a": 1})
    }
    record.end("complete")
    record.write(tmp_path / "export")
    return tmp_path


def kept(run: Path, weights: str, settings: object = None, **ways: bool) -> list[str]:
    config = OmegaConf.create({"resume": False, "overwrite": False, **ways})
    backends = {"onnx": SimpleNamespace(suffix=".onnx")}
    settings = {"onnx": settings or {"a": 1}}
    return list(export._kept(config, run / "export", backends, settings, weights))


def weights(run: Path) -> str:
    record = read_manifest(run / "export")
    assert record is not None
    return record.made["onnx"]["weights"]


def test_an_export_is_kept_by_the_content_of_its_file(run):
    now = weights(run)
    assert kept(run, now) == ["onnx"]
    for changed in ({"weights": "other"}, {"weights": now, "settings": {"a": 2}}):
        with pytest.raises(FileExistsError, match="another student, was made with other settings"):
            kept(run, **changed)
    (run / "export" / "student.onnx").write_bytes(b"who")  # cut short
    with pytest.raises(FileExistsError, match="has changed since"):
        kept(run, now)
    assert kept(run, now, resume=True) == []
    assert export._beside(run / "export", {}, now) == {}


def test_an_export_whose_sidecar_has_gone_or_changed_is_written_again(run, capsys):
    now = weights(run)
    (run / "export" / "student.onnx.json").unlink()
    assert kept(run, now) == []
    assert "student.onnx.json: has gone or changed" in capsys.readouterr().out
    (run / "export" / "student.onnx.json").write_text("")
    assert kept(run, now) == []


def test_a_student_trained_further_is_told_apart_from_its_export(run, capsys):
    note_stale(run)
    assert capsys.readouterr().err == ""
    model = iaf(DataSpec(sites=2), layers=1, hidden=[4])
    node = {"student": model.recipe.node}
    Checkpoint("student", node, model.spec, model.state_dict()).save(run / "student")
    note_stale(run)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "of another student than" in said
    assert "student.onnx" in said


def test_a_stream_refuses_an_export_of_another_student(run, monkeypatch, capsys):
    path = run / "export" / "student.onnx"
    old = SimpleNamespace(path=path, metadata=SimpleNamespace(weights="0" * 64))
    monkeypatch.setattr(export_file, "load", lambda _: old)
    output = run / "out.wav"
    assert main(["stream", f"run={run}", "input=-", f"output={output}"]) == 2
    error = capsys.readouterr().err
    assert f"{path}: is of another student than" in error
    assert error.count("\n") == 1
    assert not output.exists()


def test_a_run_that_was_moved_goes_on_and_is_measured_as_its_own(tmp_path, capsys):
    values = np.random.default_rng(0).normal(size=(80, 2))
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    np.savetxt(old / "table.csv", values, delimiter=",")
    steps = [f"{role}_trainer.steps=2" for role in ("teacher", "student")]
    data = ["data=points", *(word for word in QUICK if not word.startswith("data"))]
    words = [*data, *steps, "evaluation.count=60", "evaluation.pictures=false"]
    assert main(["teacher", f"run={old / 'run'}", f"data.path={old / 'table.csv'}", *words]) == 0
    assert main(["student", f"run={old / 'run'}"]) == 0
    shutil.move(old, new)
    again = [f"run={new / 'run'}", f"data.path={new / 'table.csv'}"]
    # Without saying where the data is now: a line that names it.
    capsys.readouterr()
    assert main(["evaluate", again[0]]) == 2
    assert f"{old / 'table.csv'}: wanted a file, found nothing there" in capsys.readouterr().err
    assert main(["student", *again, "resume=true", "student_trainer.steps=3"]) == 0
    assert main(["evaluate", *again]) == 0
    assert (new / "run" / "evaluate" / "metrics.json").is_file()
    assert [path.name for path in (new / "run").glob("evaluate-*")] == []
