"""The benchmark stage through the command line, on models that were never trained."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from distill.benchmark import batches, streams
from distill.cli import main
from distill.contract import DataSpec
from distill.models import iaf, maf
from distill.stages import benchmark as stage
from distill.stages.folders import weights_of
from distill.stages.manifest import COMPLETE, Manifest
from distill.training import Checkpoint
from tests.benchmark.conftest import small_calibrator

WORDS = ["benchmark.student=[eager]", "benchmark.batch_sizes=[1,3]", "benchmark.repeats=2"]
WORDS += ["benchmark.teacher=[plain,incremental]", "benchmark.peers=[vocos]", "threads=1"]


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    for room, name in ((batches, "benchmark"), (streams, "benchmark_streams")):
        small = partial(getattr(room, name), calibrator=small_calibrator)
        monkeypatch.setattr(stage, name, small)


@pytest.fixture(name="made", scope="module")
def _made(tmp_path_factory) -> Path:
    """A run with models, an evaluation of them, and a benchmark."""
    root = tmp_path_factory.mktemp("runs") / "tiny"
    spec, hashes = DataSpec(sites=2), {}
    for role, make in (("teacher", maf), ("student", iaf)):
        (root / role).mkdir(parents=True)
        torch.manual_seed(0)
        node = {"_target_": f"distill.models.{make.__name__}", "layers": 1, "hidden": [4]}
        saved = Checkpoint(role, {role: node}, spec, make(spec, 1, [4]).state_dict(), {"step": 1})
        saved.save(root / role)
        hashes[role] = weights_of(saved)
    evaluated = root / "evaluate"
    evaluated.mkdir()
    (evaluated / "metrics.json").write_text(json.dumps({"student/kl_reverse": 0.125}))
    manifest = Manifest.begin("evaluate", {}, hashes)
    manifest.end(COMPLETE)
    manifest.write(evaluated)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "benchmark", partial(batches.benchmark, calibrator=small_calibrator))
        assert main(["benchmark", f"run={root}", *WORDS]) == 0
    return root


@pytest.fixture(name="run")
def _run(made, tmp_path) -> Path:
    return shutil.copytree(made, tmp_path / "tiny")


def edited(run: Path, change) -> None:
    """Change what the record says."""
    path = run / "benchmark" / "record.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def times(factor: float):
    def change(values) -> None:
        for row in values["speed"]["rows"]:
            if row["timing"]:
                row["timing"]["times"] = [factor * t for t in row["timing"]["times"]]

    return change


def test_a_benchmark_leaves_tables_curves_and_a_record(made):
    folder = made / "benchmark"
    table = (folder / "speed.md").read_text()
    assert "threads 1, float32, device cpu" in table
    assert "| student | eager | cpu | 3 |" in table
    assert "KL to teacher, nats" in table
    assert "| 0.125 |" in table
    assert "| vocos |" in table
    assert (folder / "environment.md").is_file()
    assert (folder / "figures" / "speed.png").is_file()
    assert list((folder / "speed" / "student-eager").glob("events*"))
    settings = json.loads((folder / "record.json").read_text())["settings"]
    assert settings["batch_sizes"] == [1, 3]
    assert json.loads((folder / "manifest.json").read_text())["state"] == "complete"


def test_a_second_benchmark_is_refused_and_an_overwritten_one_has_no_old_curves(run, capsys):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["benchmark", f"run={run}", *WORDS]) == 2
    assert "holds a finished benchmark" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    curves = set(run.rglob("events.out.tfevents.*"))
    assert curves
    assert main(["benchmark", f"run={run}", *WORDS, "overwrite=true"]) == 0
    now = set(run.rglob("events.out.tfevents.*"))
    assert now
    assert curves.isdisjoint(now)


def test_numbers_of_other_weights_do_not_stand_beside_the_speeds(run, capsys):
    manifest = json.loads((run / "evaluate" / "manifest.json").read_text())
    manifest["made_from"]["student"] = "0" * 64
    (run / "evaluate" / "manifest.json").write_text(json.dumps(manifest))
    assert main(["benchmark", f"run={run}", *WORDS, "overwrite=true"]) == 0
    out = capsys.readouterr().out
    assert "is of other weights" in out
    assert (run / "benchmark" / "speed.md").read_text().strip() in out
    assert f"{run / 'benchmark'}: the tables as .md" in out
    assert "KL to teacher" not in out


def test_a_check_passes_by_the_settings_of_the_record_and_writes_nothing(run, capsys):
    edited(run, times(1e6))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert main(["benchmark", f"run={run}", "check=true", "threads=1"]) == 0
    assert "as fast as recorded: 6" in capsys.readouterr().out
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_check_names_what_is_slower_and_ends_with_exit_code_1(run, tmp_path, capsys):
    edited(run, times(1e-6))
    record = shutil.move(run / "benchmark" / "record.json", tmp_path / "old.json")
    words = ["benchmark", f"run={run}", f"check={record}", "threads=1", "benchmark.batch_sizes=[3]"]
    assert main(words) == 1
    out, error = capsys.readouterr()
    assert out.count("slower: student-eager, batch 3: ") == 1
    assert "not measured now: student-eager, batch 1" in out
    assert error.startswith("distill benchmark: 3 samplers take more than 10 % longer")
    assert "bug" not in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check=true", "resume=true"], "check: wanted no resume beside it"),
        (["check=true", "overwrite=true"], "check: wanted no overwrite beside it"),
        (["check=true", "threads=2"], "another threads: 1, here it is 2"),
        (["check=nowhere.json"], "nowhere.json: no record"),
        (["benchmark.compiled=false"], "benchmark.student=[eager,exports]"),
        (["benchmark.teacher=[quick]"], "benchmark.teacher: wanted any of plain"),
        (["benchmark.pushes=0"], "benchmark.pushes: wanted"),
        (["benchmark.growth_over.block=[0]"], "benchmark.growth_over.block: wanted"),
        (["benchmark.growth_over.width=[1]"], "benchmark.growth_over"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(run, words, says, capsys):
    assert main(["benchmark", f"run={run}", *words]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    torch.set_num_threads(1)


def test_growth_is_drawn_when_asked(run):
    words = ["benchmark.growth=true", "benchmark.growth_over.sites=[2,3]"]
    words += ["benchmark.growth_over.batch=[1]", "benchmark.growth_over.block=[2]"]
    assert main(["benchmark", f"run={run}", *WORDS, *words, "overwrite=true"]) == 0
    assert (run / "benchmark" / "figures" / "growth.png").is_file()
    text = (run / "benchmark" / "growth.md").read_text()
    assert "| sites of a value | teacher | 3 |" in text
    assert "student, 2 sites of a block:" in text
