"""The page beside exported files: refused early, written whole, removed with its student."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile
from omegaconf import OmegaConf

from distill.contract import DataSpec, FeatureSpec
from distill.export import ONNX, PT2
from distill.models import wavenet_iaf
from distill.serving import static_page
from distill.serving.static_page import OWN, SHARED
from distill.stages import page, pipeline
from distill.stages.export_file import examples_of
from distill.stages.manifest import COMPLETE, FAILED, Manifest


def evaluated(run: Path, student: str = "abc", state: str = COMPLETE) -> None:
    record = Manifest.begin("evaluate", {}, {"student": student})
    record.end(state)
    record.write(run / "evaluate")


@pytest.fixture
def config(tmp_path: Path):
    """Return the keys that the page reads, of a run with one evaluated clip."""
    (tmp_path / "evaluate" / "audio").mkdir(parents=True)
    soundfile.write(tmp_path / "evaluate" / "audio" / "reference_0.wav", [0.0] * 80, 8000)
    evaluated(tmp_path)
    return OmegaConf.create({"run": str(tmp_path), "page": True, "examples": None})


@pytest.fixture
def student():
    spec = DataSpec(None, features={"mel": FeatureSpec("frames", 3)}, sample_rate=8000, hop=4)
    return wavenet_iaf(spec, flows=[1], cycle=1, channels=4)


def exported(folder: Path, name: str, precision: str, weights: str = "abc") -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"onnx")
    about = {"precision": precision, "weights": weights}
    (folder / f"{name}.json").write_text(json.dumps(about))


def test_what_stands_in_the_way_is_said_before_anything_is_exported(
    config, student, tmp_path, monkeypatch
):
    with pytest.raises(ValueError, match="wanted an ONNX file"):
        page.check_wanted(config, tmp_path, [PT2()], student, "abc")
    vectors = wavenet_iaf(DataSpec(sites=4), flows=[1], cycle=1, channels=4)
    with pytest.raises(ValueError, match="does not turn frames into sound"):
        page.check_wanted(config, tmp_path, [ONNX()], vectors, "abc")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ValueError, match=r"page=true wanted npm"):
        page.check_wanted(config, tmp_path, [ONNX()], student, "abc")
    with pytest.raises(ValueError, match="page=true wanted npm"):
        pipeline.run(OmegaConf.merge(config, {"resume": False, "overwrite": False}))
    config.page = False
    page.check_wanted(config, tmp_path, [PT2()], student, "abc")


def test_the_page_holds_all_onnx_files_of_the_student_and_goes_with_it(
    config, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(static_page, "fetch_runtime", lambda folder: None)
    folder = tmp_path / "export"
    exported(folder, "student.int8.onnx", "int8")
    exported(folder, "student.onnx", "full")
    files = ["student.pt2", "student.int8.onnx", "student.onnx"]
    page.write(config, folder, files, "abc")
    about = json.loads((folder / "page" / "page.json").read_text())
    assert [model["name"] for model in about["models"]] == ["full precision", "8 bits"]
    assert [example["name"] for example in about["examples"]] == ["clip 0"]
    listed = {path.relative_to(folder / "page").as_posix() for path in (folder / "page").rglob("*")}
    own = {path.name for path in OWN.iterdir()}
    models = {f"{name}{more}" for name in files[1:] for more in ("", ".json")}
    assert listed == {*own, *SHARED, *models, "page.json", "ort", "examples", "examples/0.wav"}
    config.examples = False
    page.write(config, folder, files, "abc")
    assert not (folder / "page" / "examples").exists()
    config.page = False
    page.write(config, folder, files, "abc")
    assert (folder / "page").is_dir()
    page.write(config, folder, files, "xyz")
    assert not (folder / "page").exists()
    assert "of another student, removed" in capsys.readouterr().out


def test_clips_of_another_student_are_not_shown_as_this_ones(config, tmp_path, capsys):
    assert [clip.name for clip in examples_of(config, "abc")] == ["clip 0"]
    assert capsys.readouterr().err == ""
    for student, state in (("xyz", COMPLETE), ("abc", FAILED)):
        evaluated(tmp_path, student, state)
        assert examples_of(config, "abc") == []
        error = capsys.readouterr().err
        assert "the clips are not of a finished evaluation of this student" in error
        assert error.count("\n") == 1
    config.examples = str(tmp_path / "evaluate" / "audio")  # named, they are shown
    assert len(examples_of(config, "abc")) == 1
