"""Data that changes under a run: one short line that names what has."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distill.cli import main
from distill.differences import difference

AUDIO = [
    "data=digits",
    "data.conditions=[mel,speaker]",
    "data.crop=1024",
    "+data.held_out=0.3",
    "threads=1",
]
AUDIO += ["evaluation=audio", "evaluation.watch_count=2", "evaluation.watch_seconds=0.1"]
AUDIO += ["teacher_trainer.steps=1", "teacher_trainer.batch_size=2", "student=wavenet_iaf"]
AUDIO += ["teacher=wavenet", "teacher.layers=1", "teacher.cycles=1", "+teacher.channels=4"]


def speak(folder: Path, speakers: str, count: int = 4, loud: float = 0.1) -> None:
    """Write what might be digits of these speakers."""
    folder.mkdir(exist_ok=True)
    for name in speakers:
        for i in range(count):
            noise = np.random.default_rng([ord(name), i]).normal(size=2048)
            soundfile.write(folder / f"{i}_{name}_{i}.wav", loud * noise, 8000)


@pytest.fixture(name="made", scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("audio")
    speak(place / "digits", "ab")
    (place / "cache").mkdir()
    assert main(["teacher", *words(place)]) == 0
    return place


def words(place: Path) -> list[str]:
    return [
        f"run={place / 'run'}",
        f"data.path={place / 'digits'}",
        f"+data.cache={place / 'cache'}",
        *AUDIO,
    ]


def refused(capsys: pytest.CaptureFixture[str], *typed: str) -> str:
    capsys.readouterr()
    assert main(typed) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    (line,) = [line for line in lines if line.startswith("distill ")]
    assert "bug" not in line
    return line


def swap(folder: Path) -> None:
    shutil.rmtree(folder)
    speak(folder, "ab", loud=0.02)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file added": (lambda f: shutil.copy(f / "0_a_0.wav", f / "9_a_9.wav"), "1 new, first 9_a_9"),
    "a file gone": (lambda f: (f / "0_a_0.wav").unlink(), "1 gone, first 0_a_0"),
    "a speaker added": (lambda f: speak(f, "c"), "4 new, first 0_c_0"),
    "a folder swapped": (swap, "scale="),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("stage", ["teacher", "student"])
def test_audio_that_changed_under_a_run_is_named(made, tmp_path, change, stage, capsys):
    place = shutil.copytree(made, tmp_path / "place")
    do, says = CHANGES[change]
    do(place / "digits")
    before = {p: p.read_bytes() for p in (place / "run").rglob("*.*") if p.is_file()}
    typed = words(place) if stage == "teacher" else words(place)[:3]
    line = refused(capsys, stage, *typed, "resume=true")
    assert "the data has changed since it was trained" in line
    assert says in line
    assert len(line.replace(str(place), "")) < 300
    assert {p: p.read_bytes() for p in (place / "run").rglob("*.*") if p.is_file()} == before


def test_a_row_more_and_a_row_changed_are_named(tmp_path, capsys):
    table = tmp_path / "table.csv"
    values = np.random.default_rng(0).normal(size=(80, 2))
    np.savetxt(table, values, delimiter=",")
    typed = [f"run={tmp_path / 'run'}", "data=points", f"data.path={table}", "debug=two_steps"]
    typed += ["evaluation.pictures=false", "evaluation.watch_count=20", "teacher.hidden=[4]"]
    assert main(["teacher", *typed]) == 0
    np.savetxt(table, np.concatenate([values, [[9, 9]]]), delimiter=",")
    line = refused(capsys, "teacher", *typed, "resume=true")
    assert "81 rows in place of 80" in line
    assert len(line) < 300
    values[3, 0] += 1
    np.savetxt(table, values, delimiter=",")
    line = refused(capsys, "teacher", *typed, "resume=true")
    assert "its values are others" in line


def test_a_run_of_before_a_key_of_a_yaml_was_there_goes_on() -> None:
    now = {"data": {"_target_": "distill.data.audio.AudioCorpus", "speeds": [], "crop": 4096}}
    before = {"data": {key: now["data"][key] for key in ("_target_", "crop")}}
    assert difference(before, now) is difference(now, before) is None
    now["data"]["speeds"] = [0.9]
    assert difference(before, now) == "data.speeds=[0.9] in place of (default)"
    other = {"data": {**before["data"], "_target_": "distill.data.audio.Tones"}}
    assert difference(other, {"data": {**now["data"], "speeds": []}}) is not None
