"""Run folders from elsewhere: no link in them leads a stage, or a page, out of the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from distill.cli import main
from distill.stages.export_file import examples_of
from distill.stages.links import check_inside
from distill.stages.manifest import COMPLETE, Manifest
from distill.stages.work import alone_in

from ..cli.test_bad_input import QUICK


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run" / "teacher").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    return tmp_path / "run"


@pytest.mark.parametrize("name", ["checkpoint.pt", ".lock", "metrics.json", "figures/a.png"])
def test_no_stage_writes_through_a_link_out_of_its_run(run, name, capsys):
    link, diary = run / "teacher" / name, run.parent / "mine" / "diary.txt"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(diary)
    words = ["teacher", *QUICK, f"run={run}", "overwrite=true", "teacher_trainer.steps=1"]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert f"{link}: is a link to {diary}, out of the run {run}" in error
    assert error.count("distill teacher: ") == 1
    assert diary.read_text() == "dear"


def test_a_stages_folder_may_not_be_elsewhere(run):
    (run / "student").symlink_to(run.parent / "mine")
    with pytest.raises(ValueError, match="out of the run"), alone_in(run / "student"):
        pass
    assert [path.name for path in (run.parent / "mine").iterdir()] == ["diary.txt"]
    (run / "sample").symlink_to(run.parent / "nowhere")  # what is not there would be made
    with pytest.raises(ValueError, match="nowhere"):
        check_inside(run / "sample")


def test_links_within_a_run_and_to_a_run_are_followed(run):
    (run / "teacher" / "kept.pt").write_text("a")
    (run / "teacher" / "checkpoint.pt").symlink_to("kept.pt")
    (run.parent / "link").symlink_to(run)
    with alone_in(run.parent / "link" / "teacher"):
        assert (run / "teacher" / ".lock").is_file()


def test_a_page_shows_no_file_from_outside_the_run(run):
    audio = run / "evaluate" / "audio"
    audio.mkdir(parents=True)
    (audio / "teacher_0.wav").write_bytes(b"RIFF")
    record = Manifest.begin("evaluate", {}, {"student": "abc"})
    record.end(COMPLETE)
    record.write(run / "evaluate")
    config = OmegaConf.create({"run": str(run), "examples": None, "file": None})
    assert [list(clip.sounds) for clip in examples_of(config, "abc")] == [["teacher"]]
    (audio / "reference_0.wav").symlink_to(run.parent / "mine" / "diary.txt")
    with pytest.raises(ValueError, match="shown to whoever opens the page"):
        examples_of(config, "abc")
    assert examples_of(OmegaConf.merge(config, {"examples": False}), "abc") == []
