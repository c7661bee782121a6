"""A disk that fills in any stage: one line, exit 2, and what stood there before is whole."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import distill.files
from distill.cli import main
from distill.contract import DataSpec, FeatureSpec
from distill.export import Exported
from distill.export.graph import SamplingGraph
from distill.models import wavenet_iaf
from distill.stages.manifest import read_manifest

POINTS = ["data=points", "evaluation.pictures=false", "evaluation.watch_count=9", "threads=1"]
POINTS += ["debug=two_steps", "teacher.layers=1", "teacher.hidden=[4]", "evaluation.count=60"]
POINTS += ["student.layers=1", "student.hidden=[4]"]
TONES = ["data=tones", "data.count=12", "data.seconds=0.2", "data.crop=1024", "threads=1"]
QUICK = ["benchmark.compiled=false", "benchmark.batch_sizes=[1]", "benchmark.repeats=1"]
CLASSES = ["classifier_trainer.steps=2", "classifier_trainer.batch_size=2", "classifier.layers=1"]
CLASSES += ["classifier.channels=4", "data.conditions=[label]"]
NEEDS = {"student": "teacher", "evaluate": "student", "export": "student", "sample": "student"}
NEEDS |= {"benchmark": "export"}
Make = Callable[[str], Path]


def command(stage: str, place: Path) -> list[str]:
    run = f"run={place / 'run'}"
    return [stage] + {
        "prepare": [run, *TONES[:-1]],
        "classifier": [run, *TONES, *CLASSES],
        "teacher": [run, f"data.path={place / 't.csv'}", *POINTS],
        "student": [run],
        "evaluate": [run],
        "export": [run, "~exports.pt2"],
        "benchmark": [run, *QUICK],
        "sample": [run, "count=2000", f"output={place / 'out.csv'}"],
        "stream": [f"input={place / 'a.wav'}", f"output={place / 'b.wav'}"],
    }[stage]


def voice() -> Exported:
    """Return a sampler of mels without the way through a file."""
    mel = {"mel": {"bands": 4, "fft": 64, "window": 64, "hop": 16, "high": None}}
    features = {"mel": FeatureSpec("frames", 4)}
    spec = DataSpec(None, (0.0,), (0.1,), features, 8000, 16, mel)
    graph = SamplingGraph(wavenet_iaf(spec, [1], 1, channels=4))
    return Exported(graph.metadata, torch.no_grad()(graph.forward), "eager")


@pytest.fixture(autouse=True)
def _speaking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.stages.stream.exported_of", lambda _: voice())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return what runs a stage once, and those before it, and gives the folder of all."""
    place, done = tmp_path_factory.mktemp("disk"), set()
    rng = np.random.default_rng(0)
    np.savetxt(place / "t.csv", rng.normal(size=(60, 2)), delimiter=",")
    soundfile.write(place / "a.wav", 0.1 * rng.normal(size=8000), 8000)

    def make(stage: str) -> Path:
        if stage not in done:
            if stage in NEEDS:
                make(NEEDS[stage])
            assert main(command(stage, place)) == 0
            done.add(stage)
        return place

    return make


def files_of(place: Path) -> dict[str, bytes]:
    """Return what all files hold, but for locks and curves."""
    found = {p.relative_to(place).as_posix(): p for p in place.rglob("*") if p.is_file()}
    skipped = (".lock", "filler")
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if path.name not in skipped and "tfevents" not in name
    }


def told(capsys: pytest.CaptureFixture[str], typed: list[str]) -> str:
    capsys.readouterr()
    assert main(typed) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("distill ")]
    assert len(lines) == 1
    return lines[0]


class Disk:
    """One that is full from the moment a file of some name is to be synced."""

    def __init__(self, name: str) -> None:
        self.name, self.full = Path(name), False
        self._sync = distill.files._sync

    def sync(self, path: Path) -> None:
        stem, _, suffix = path.name.removeprefix(".").rpartition(".part")
        self.full |= (stem.rpartition(".")[0], suffix) == (self.name.stem, self.name.suffix)
        if self.full and path.is_file():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._sync(path)


SLOW = pytest.mark.slow
FILES = [
    *(("teacher", "checkpoint.pt"), ("teacher", "manifest.json"), ("student", "checkpoint.pt")),
    *(("evaluate", "metrics.json"), ("prepare", "report.md"), ("prepare", "metrics.json")),
    *(("sample", "out.csv"), ("sample", "out.csv.manifest.json"), ("stream", "b.wav")),
    pytest.param("classifier", "checkpoint.pt", marks=SLOW),
    pytest.param("export", "student.onnx", marks=SLOW),
    pytest.param("benchmark", "metrics.json", marks=SLOW),
]


@pytest.mark.parametrize(("stage", "name"), FILES)
def test_a_disk_that_fills_is_told_in_a_line_and_the_old_files_stay(
    stage, name, made, monkeypatch, capsys
):
    place = made(stage)
    before, disk = files_of(place), Disk(name)
    monkeypatch.setattr(distill.files, "_sync", disk.sync)
    line = told(capsys, [*command(stage, place), "overwrite=true"])
    assert disk.full
    assert f"{name}: no space left" in line
    after = files_of(place)
    assert after.keys() == before.keys()
    # Tables and pictures that were whole by then are new; results and records are the old ones.
    kept = (".pt", ".json", ".yaml", ".onnx", ".csv", ".wav")
    assert [path for path in before if path.endswith(kept) and after[path] != before[path]] == []


def test_a_disk_that_fills_after_the_checkpoint_leaves_a_record_of_no_whole_model(
    made, monkeypatch, capsys
):
    place, disk = made("student"), Disk("metrics.json")
    before = files_of(place)
    with monkeypatch.context() as patch:
        patch.setattr(distill.files, "_sync", disk.sync)
        line = told(capsys, [*command("student", place), "overwrite=true", "seed=5"])
    assert "metrics.json: no space left" in line
    assert files_of(place)["run/student/checkpoint.pt"] != before["run/student/checkpoint.pt"]
    assert read_manifest(place / "run" / "student").state != "complete"
    assert main([*command("student", place), "resume=true", "seed=5"]) == 0
    assert read_manifest(place / "run" / "student").state == "complete"


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 2 MB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("stage", ["teacher", "evaluate", "sample", "stream", "prepare"])
def test_a_disk_that_is_full_is_told_in_a_line_and_the_old_files_stay(stage, made, tiny, capsys):
    shutil.copytree(made(stage), tiny, dirs_exist_ok=True)
    before = files_of(tiny)
    room = shutil.disk_usage(tiny).free - 12 * 1024
    (tiny / "filler").write_bytes(bytes(room))
    line = told(capsys, [*command(stage, tiny), "overwrite=true"])
    assert "no space left" in line
    assert files_of(tiny) == before
    (tiny / "filler").unlink()
    assert main([*command(stage, tiny), "overwrite=true"]) == 0
