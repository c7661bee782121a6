"""Runs side by side, by their folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from distill.cli import main
from distill.cli.positional import with_positional
from distill.cli.quoting import readable
from distill.stages.comparing.runs import find_runs
from distill.stages.comparing.table import compare
from distill.stages.manifest import COMPLETE, STOPPED, Manifest


def stage(run: Path, name: str, config: dict, metrics: dict, state: str = COMPLETE) -> None:
    folder = run / name
    folder.mkdir(parents=True)
    record = Manifest.begin(name.partition("-")[0], {"run": str(run), **config}, {})
    record.end(state)
    record.write(folder)
    (folder / "metrics.json").write_text(json.dumps(metrics))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    for seed, kl in ((9, 0.5), (10, 0.25)):
        run = tmp_path / "runs" / "moons" / f"seed-{seed}"
        config = {"seed": seed, "student": {"layers": 2}}
        stage(
            run, "student", config, {"kl": kl, "nothing": None}, COMPLETE if kl > 0.3 else STOPPED
        )
        stage(run, "evaluate", config, {"student/kl": kl, "student/kl/standard_error": 0.01})
        (run / "sample" / "student").mkdir(parents=True)
        Manifest.begin("sample", {}, {}).write(run / "sample" / "student")
    return tmp_path / "runs" / "moons"


def test_a_sweep_is_sorted_and_says_what_differs(sweep, capsys):
    words = ["metrics=[student/kl]", "sort=evaluate/student/kl"]
    assert main(["compare", str(sweep), *words]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "| what | seed-10 | seed-9 |",
        "|---|---|---|",
        "| seed | 10 | 9 |",
        "| state | student stopped | complete |",
        "| student/kl | 0.25 | 0.5 |",
        "| evaluate/student/kl | 0.25 ± 0.01 | 0.5 ± 0.01 |",
    ]


def test_runs_are_found_by_folder_pattern_and_stage_each_once(sweep):
    pattern = str(sweep / "seed-*")
    runs = find_runs([str(sweep / "seed-10" / "student"), str(sweep), pattern])
    assert [run.label for run in runs] == ["seed-10", "seed-9"]
    assert [run.label for run in find_runs([str(sweep)])] == ["seed-9", "seed-10"]
    stage(sweep, "teacher", {}, {})  # a run that has jobs below it
    assert [run.label for run in find_runs([str(sweep)])] == [
        "moons",
        "moons/seed-9",
        "moons/seed-10",
    ]


def test_one_run_is_a_table_too(sweep):
    made = compare(find_runs([str(sweep / "seed-9")]))
    assert made.markdown().startswith("| what | seed-9 |")
    assert not made.settings
    assert made.metrics == ["student/kl", "evaluate/student/kl"]
    assert made.markdown(transpose=True).splitlines()[0].startswith("| run | state |")


def test_stages_that_disagree_are_told_apart(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        stage(tmp_path / name, "teacher", {"seed": 0}, {})
        stage(tmp_path / name, "student", {"seed": seed}, {})
    made = compare(find_runs([str(tmp_path)]))
    assert made.settings == {"student: seed": {"a": 0, "b": 1}}


def test_a_run_without_the_metric_comes_last_and_settings_may_be_absent(tmp_path):
    stage(tmp_path / "a", "student", {"weight": 1.0, "text": "x|y"}, {})
    stage(tmp_path / "b", "student", {"text": "z"}, {"kl": 1.0})
    stage(tmp_path / "c", "student", {"text": "z"}, {"kl": 2.0})
    for descending, order in ((False, "bca"), (True, "cba")):
        made = compare(find_runs([str(tmp_path)]), sort="kl", descending=descending)
        assert "".join(run.label for run in made.runs) == order
    assert made.settings["weight"] == {"a": 1.0}
    assert r"x\|y" in made.markdown()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{sweep}/seed-8"], "seed-8: there is no such folder"),
        (["{sweep}/seed-9/sample"], "sample: no run. Wanted a folder that holds a stage's"),
        ([], "runs: wanted run folders, got none"),
        (["{sweep}", "metrics=[student/kk]"], "student/kk: no run has such a metric. Did you mean"),
        (["{sweep}", "sort=kl"], "sort=kl: means 2 metrics: student/kl, evaluate/student/kl"),
        (["{sweep}", "output=t.txt"], "output=t.txt: wanted a .json file"),
        (["{sweep}", "tensorboard={sweep}"], "holds something else"),
        (["{sweep}", "runs=[a]"], "runs: set twice"),
    ],
)
def test_a_mistake_is_one_line(sweep, capsys, words, told):
    assert main(["compare", *(word.format(sweep=sweep) for word in words)]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_json_and_page_hold_each_run_and_are_replaced_when_asked(sweep, tmp_path, capsys):
    file, page = tmp_path / "table.json", tmp_path / "page"
    words = ["compare", str(sweep), f"output={file}", f"tensorboard={page}"]
    assert main(words) == 0
    record = json.loads(file.read_text())
    assert [run["settings"] for run in record["runs"]] == [{"seed": 9}, {"seed": 10}]
    assert record["runs"][1]["states"] == {"student": "stopped", "evaluate": "complete"}
    assert record["runs"][1]["metrics"]["evaluate/student/kl/standard_error"] == 0.01
    assert main(words) == 2
    assert "overwrite=true" in capsys.readouterr().err
    file.rename(tmp_path / "kept.json")
    assert main(words) == 2
    assert f"{page}: holds a finished compare" in capsys.readouterr().err
    assert main([*words, "resume=true"]) == 0
    assert "compare: finished, kept" in capsys.readouterr().out
    assert main([*words, "overwrite=true"]) == 0
    for label, seed, kl in (("seed-9", 9.0, 0.5), ("seed-10", 10.0, 0.25)):
        assert len(list((page / label).glob("events.*"))) == 1
        events = EventAccumulator(str(page / label)).Reload()
        assert events.Scalars("evaluate/student/kl")[0].value == kl
        assert (
            "layers: 2"
            in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
        )
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        assert start.hparams["seed"].number_value == seed


def test_a_table_replaces_tables_alone(sweep, capsys):
    numbers = sweep / "seed-9" / "evaluate" / "metrics.json"
    before = numbers.read_bytes()
    assert main(["compare", str(sweep), f"output={numbers}", "overwrite=true"]) == 2
    assert "is no table of `distill compare`" in capsys.readouterr().err
    assert numbers.read_bytes() == before


def test_folders_are_told_from_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed=0").mkdir()
    words = ["a b", "seed=0", "sort=kl", "~/c", "x\\'y"]
    rest = with_positional("compare", words)
    assert rest[0] == "sort=kl"
    assert readable(rest) == rest
    parsed = OverridesParser.create().parse_override(rest[1]).value()
    assert parsed == ["a b", "seed=0", "~/c", "x\\'y"]
