"""The command line: help, checks before anything runs, one line for every error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from omegaconf import DictConfig, OmegaConf

import distill
from distill.cli import app, main
from distill.cli.config_groups import config_dir, defaults, groups
from distill.cli.help import is_offered
from distill.cli.overrides import COMMON
from distill.stages import STAGES
from distill.stages.reads import READS, keys_of

CONF = config_dir()


@pytest.fixture(name="ran")
def _ran(tmp_path, monkeypatch) -> list[DictConfig]:
    """Configs of a small tree of its own, and the ones that its stage `teacher` ran with."""
    conf = tmp_path / "conf"
    files = {
        "teacher": {
            "defaults": ["common", {"student": "iaf"}, {"experiment": None}, "_self_"],
            "run": "runs/mine",
            "path": "???",
            "rate": 1,
        },
        "student/iaf": {"_target_": "distill.models.iaf", "layers": 5},
        "student/nice": {"_target_": "distill.models.nice"},
        "experiment/moons": {"student": {"layers": 3}, "path": "moons.csv"},
        "experiment/rings": {"path": "rings.csv"},
    }
    for name, content in files.items():
        file = conf / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        head = "# @package _global_\n" if name.startswith("experiment") else ""
        file.write_text(head + yaml.safe_dump(content, sort_keys=False))
    (conf / "common.yaml").write_text((CONF / "common.yaml").read_text())
    configs: list[DictConfig] = []

    def run(config: DictConfig) -> dict[str, float]:
        configs.append(config)
        errors = {
            1: ValueError("data: wanted two columns,\n  got three."),
            2: ZeroDivisionError("division by zero"),
            3: KeyboardInterrupt(),
            4: FileExistsError("runs/x: holds a teacher already. Use resume=true."),
        }
        if config.seed in errors:
            raise errors[config.seed]
        return {"nll": 1.0}

    monkeypatch.setitem(READS, "teacher", (*READS["teacher"], "student"))
    monkeypatch.setattr(distill, "__file__", str(tmp_path / "distill" / "__init__.py"))
    monkeypatch.setitem(sys.modules, "distill.stages.teacher", SimpleNamespace(run=run))
    monkeypatch.delenv("DISTILL_TRACEBACK", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return configs


def refused(capsys, *words: str) -> str:
    """Run what must be refused; return its line."""
    assert main(words) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith("distill")
    return err.strip()


def test_a_stage_runs_with_its_config(ran):
    assert main(["teacher", "path=a.csv", "seed=7"]) == 0
    assert ran[0].path == "a.csv"
    assert ran[0].seed == 7
    assert ran[0].student.layers == 5


def test_an_experiment_and_overrides_are_taken_in_turn(ran):
    assert main(["teacher", "experiment=moons", "student.layers=4", "run=there"]) == 0
    assert (ran[0].path, ran[0].student.layers, ran[0].run) == ("moons.csv", 4, "there")


def test_nothing_is_written_and_the_folder_stays(ran):
    before = Path.cwd()
    main(["teacher", "path=a"])
    assert Path.cwd() == before
    assert list(before.iterdir()) == []


def test_an_argument_that_no_file_names_is_taken_by_the_class(ran):
    assert main(["teacher", "path=a", "student.hidden=[8,8]", "student.norm=act"]) == 0
    assert ran[0].student.hidden == [8, 8]
    assert ran[0].student.norm == "act"


def test_numbers_are_texts_where_a_text_is_wanted(ran):
    assert main(["teacher", "path=a", "run=2024"]) == 0
    assert ran[0].run == "2024"


def test_a_whole_number_may_become_a_fraction(ran):
    assert main(["teacher", "path=a", "rate=0.5"]) == 0
    assert ran[0].rate == 0.5


def test_flags_and_overrides_may_mix(ran):
    assert main(["teacher", "path=a", "-m", "seed=10,11"]) == 0
    assert [config.seed for config in ran] == [10, 11]


def test_a_sweep_goes_on_after_an_error_and_tells_which_run_failed(ran, capsys):
    assert main(["teacher", "-m", "path=a", "seed=9,1,8"]) == 2
    assert [config.seed for config in ran] == [9, 1, 8]
    assert "seed=1" in capsys.readouterr().err


def test_a_folder_of_ones_own_adds_options(ran, tmp_path):
    mine = tmp_path / "mine" / "experiment"
    mine.mkdir(parents=True)
    (mine / "own.yaml").write_text("# @package _global_\npath: own.csv\n")
    assert main(["teacher", "--config-dir", str(tmp_path / "mine"), "experiment=own"]) == 0
    assert ran[0].path == "own.csv"


def test_only_the_command_line_may_trust_a_package(ran, tmp_path, capsys):
    mine = tmp_path / "mine" / "experiment"
    mine.mkdir(parents=True)
    (mine / "own.yaml").write_text("# @package _global_\ntrusted: [canary]\npath: x\n")
    given = ["teacher", "--config-dir", str(tmp_path / "mine"), "experiment=own"]
    assert main(given) == 2
    assert "only the command line" in capsys.readouterr().err
    assert main(["teacher", "path=x", "trusted=[mine]"]) == 0
    assert ran[0].trusted == ["mine"]
    assert main(["teacher", "path=x", "trusted=foo"]) == 2
    assert "wanted a list" in capsys.readouterr().err


def test_cfg_prints_the_config_and_runs_nothing(ran, capsys):
    assert main(["teacher", "--cfg", "job", "experiment=moons"]) == 0
    assert OmegaConf.create(capsys.readouterr().out).path == "moons.csv"
    assert ran == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["techer"], "Did you mean teacher?"),
        (["--seed", "3"], "is no stage"),
        (["teacher", "sed=3"], "sed: unknown key. Did you mean seed"),
        (["teacher", "student.layer=3"], "Did you mean student.layers"),
        (
            ["teacher", "student.width=3"],
            "student takes: activation, base, between, hidden, layers",
        ),
        (["teacher", "layers=3"], "Did you mean student.layers?"),
        (["teacher", "experiment=moonz"], "Did you mean moons? There are: moons, rings."),
        (["teacher", "student=realnvp"], "There are: iaf, nice."),
        (["teacher", "seed=abc"], "seed: wanted a whole number, got 'abc'."),
        (["teacher", "seed=1.5"], "seed: wanted a whole number, got 1.5."),
        (["teacher", "rate=fast"], "rate: wanted a number"),
        (["teacher", "resume=maybe"], "resume: wanted true or false"),
        (["teacher", "student.layers=[1]"], "student.layers: wanted a whole number, got [1]"),
        (
            ["teacher", "student.hidden=8"],
            "student.hidden: wanted a list of numbers, as in [1,2], got 8.",
        ),
        (["teacher", "seed=1,2"], "-m"),
        (["teacher", "seed"], "wanted key=value"),
        (["teacher", "student.hidden=[1"], "wanted key=value"),
        (["teacher", "--sed"], "unrecognized arguments: --sed"),
        (["teacher", "--config-dir", "nowhere"], "nowhere is no folder"),
        (["teacher", "path=a", "seed=1"], "data: wanted two columns, got three."),
        (["teacher", "path=a", "seed=4"], "resume=true"),
        (["completion", "fish"], "wanted bash or zsh"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gives_one_line_with_the_way_out(ran, capsys, words, expected):
    assert expected in refused(capsys, *words)


def test_nothing_runs_when_an_override_is_wrong(ran, capsys):
    refused(capsys, "teacher", "path=a", "seed=abc")
    assert ran == []


def test_a_value_that_is_missing_is_named(ran, capsys, monkeypatch):
    module = SimpleNamespace(run=lambda config: {"length": float(len(config.path))})
    monkeypatch.setitem(sys.modules, "distill.stages.teacher", module)
    assert "path=VALUE" in refused(capsys, "teacher")


def test_a_bug_is_called_one_and_exits_with_1(ran, capsys):
    assert main(["teacher", "path=a", "seed=2"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "bug" in err
    assert "ZeroDivisionError" in err


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_a_traceback_is_shown_when_asked_for(ran, capsys, monkeypatch, way):
    if way == "variable":
        monkeypatch.setenv("DISTILL_TRACEBACK", "1")
    assert main(["teacher", "path=a", "seed=1", *(["--traceback"] if way == "flag" else [])]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_interruption_exits_with_130_and_one_line(ran, capsys):
    assert main(["teacher", "path=a", "seed=3"]) == 130
    assert capsys.readouterr().err == "distill teacher: interrupted\n"


def test_variables_and_arguments_of_the_process_are_put_back(ran):
    argv, full = list(sys.argv), os.environ.get("HYDRA_FULL_ERROR")
    main(["teacher", "path=a", "seed=1"])
    assert sys.argv == argv
    assert os.environ.get("HYDRA_FULL_ERROR") == full


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_stages_each_with_a_line(capsys, words):
    assert main(words) == 0
    out = capsys.readouterr().out
    for stage, line in STAGES.items():
        assert any(stage in row and line in row for row in out.splitlines())
    assert "distill pipeline experiment=moons" in out
    for path in (config_dir() / "experiment").glob("*.yaml"):
        assert path.stem in out


@pytest.mark.parametrize("stage", STAGES)
def test_help_of_a_stage_tells_what_it_does_and_takes(capsys, stage):
    assert main([stage, "--help"]) == 0
    out = capsys.readouterr().out
    assert STAGES[stage] in out
    for group, option in defaults(stage).items():
        assert (f"\n  {group} " in out) == is_offered(stage, group)
        if option and is_offered(stage, group):
            assert f"{option} (default)" in out
    for key in COMMON:  # what it does not read it would refuse
        assert (f"\n  {key}= " in out) == (key in keys_of(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_a_config_that_composes(capsys, stage):
    assert main([stage, "--cfg", "job"]) == 0
    config = OmegaConf.create(capsys.readouterr().out)
    assert config.get("seed", 0) == 0  # some stages draw nothing
    assert config.get("device", "auto") == "auto"  # and some compute nothing


def test_the_groups_of_the_package_are_found():
    assert "moons" in groups([CONF])["data"]
    assert all(not group.startswith("hydra") for group in groups([CONF]))


def test_version_is_the_packages(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"distill {distill.__version__}\n"


def test_help_does_not_load_torch():
    code = (
        "import sys; from distill.cli import main; main(['--help']); main(['teacher', '--help']); "
        "main(['teacher', '--cfg', 'job']); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CONF.parent, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_python_m_distill_is_the_command():
    command = [sys.executable, "-m", "distill", "techer"]
    done = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("distill: error: 'techer' is no stage.")


def test_a_signal_that_a_library_made_an_error_of_is_still_a_signal(capsys, monkeypatch):
    def run(stage, words, show):
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt as interruption:
            raise RuntimeError("no config") from interruption

    monkeypatch.setattr(app, "_run", run)
    assert main(["teacher"]) == 143
    assert "no config" not in capsys.readouterr().err
