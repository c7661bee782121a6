"""What later stages take up from a run."""

from __future__ import annotations

import json
import re

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from distill.cli.config_groups import config_dir, groups
from distill.cli.recorded import recorded_overrides
from distill.cli.replayable import replayable
from distill.stages.manifest import Manifest
from distill.trust import check_config


def write(folder, *said):
    folder.mkdir(parents=True)
    (folder / "overrides.json").write_text(json.dumps(said))


@pytest.fixture
def run(tmp_path):
    said = ["experiment=moons", "run=x", "data=points", "++data.path=a.csv", "seed=3"]
    write(tmp_path / "teacher", *said)
    return tmp_path


def test_a_later_stage_takes_up_what_the_run_was_made_with(run):
    assert recorded_overrides("evaluate", [f"run={run}"]) == [
        "experiment=moons",
        "data=points",
        "++data.path=a.csv",
    ]
    assert recorded_overrides("sample", [f"run={run}/teacher"])[0] == "experiment=moons"


def test_what_is_said_now_goes_first(run):
    assert recorded_overrides("evaluate", [f"run={run}", "data.path=b.csv"]) == [
        "experiment=moons",
        "data=points",
    ]
    assert recorded_overrides("evaluate", [f"run={run}", "data=rings"]) == ["experiment=moons"]


@pytest.mark.parametrize("text", ["objective=mine", "optimizer@student_trainer.optimizer=mine"])
def test_a_student_wants_the_options_that_its_run_was_made_with(tmp_path, text):
    write(tmp_path / "teacher", text, "teacher=mine", "student.layers=3")
    with pytest.raises(ValueError, match="was made with it, and there is none of that name here"):
        recorded_overrides("student", [f"run={tmp_path}"])
    said = text.replace("mine", "null")
    assert recorded_overrides("student", [f"run={tmp_path}", said]) == ["student.layers=3"]
    assert recorded_overrides("evaluate", [f"run={tmp_path}"]) == ["student.layers=3"]


def test_another_experiment_starts_afresh_and_the_same_does_not(run):
    said = [f"run={run}", "experiment=rings"]
    assert recorded_overrides("evaluate", said) == []
    said = [f"run={run}", "experiment=moons"]
    assert recorded_overrides("evaluate", said) == ["data=points", "++data.path=a.csv"]


def test_a_run_that_is_not_typed_is_looked_for_where_the_stage_would_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs" / "moons" / "teacher", "experiment=moons", "student.layers=3")
    assert recorded_overrides("student", ["experiment=moons"]) == ["student.layers=3"]
    said = ["run='runs/${name}'", "experiment=moons", "teacher.norm=act"]
    assert recorded_overrides("student", said) == ["student.layers=3"]
    assert recorded_overrides("student", ["experiment=rings"]) == []


def test_a_record_that_leads_to_another_run_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "runs" / "default" / "teacher", "experiment=moons")
    with pytest.raises(ValueError, match=r"run: runs/default, which .* as in run=runs/default"):
        recorded_overrides("student", [])
    assert recorded_overrides("student", ["run=runs/default"]) == ["experiment=moons"]


@pytest.mark.parametrize("name", ["2024_06", "1e3", "007", "true"])
def test_a_run_whose_name_reads_as_a_number_is_found(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / name / "teacher", "data=points")
    for text in (f"run={name}", f"run='{name}'"):
        assert recorded_overrides("student", [text]) == ["data=points"]


def test_a_student_of_a_former_teacher_does_not_speak_for_the_new_one(tmp_path):
    old, new = tmp_path / "student", tmp_path / "teacher"
    write(old, "student.layers=4")
    write(new, "student.layers=2")
    run = f"run={tmp_path}"
    assert recorded_overrides("student", [run]) == ["student.layers=4"]  # nothing is known of them
    teacher = Manifest.begin("teacher", {}, {})
    teacher.made = {"weights": "b"}
    teacher.write(new)
    assert recorded_overrides("student", [run]) == ["student.layers=2"]
    for weights, layers in (("a", 2), ("b", 4)):
        Manifest.begin("student", {}, {"teacher": weights}).write(old)
        assert recorded_overrides("student", [run]) == [f"student.layers={layers}"]
    assert recorded_overrides("evaluate", [run]) == ["student.layers=4"]


def test_a_stage_that_starts_a_run_takes_up_nothing(run):
    assert recorded_overrides("teacher", [f"run={run}"]) == []
    assert recorded_overrides("evaluate", []) == []


HOSTILE = [
    "+hydra.callbacks.x={_target_:canary.run}",
    "hydra.searchpath=[file:///tmp]",
    "hydra/launcher=basic",
    "trusted=[canary]",
    "++trusted=[canary]",
    "exports.pt2._target_=canary.run",
    "teacher._target_=canary.run",
    "++teacher.transform={_target_:canary.run}",
    "++teacher.transform={a:[{_target_:canary.run}]}",
    "++teacher.transform.b.c._target_=canary.run",
    "data.path=${oc.env:HOME}",
    "data.path='${oc.create:{_target_:canary.run}}'",
    "data.path=${a.${oc.env:HOME}}",
    "data=../../tmp/evil",
    "data='/tmp/evil'",
    "data@hydra.callbacks.x=points",
    "data@_global_=points",
    "data@=points",
    "experiment=[moons,../x]",
    "limits.clients=9",
    "file=x.aoti.pt2",
    "seed=1,2",
    "~data",
    "~teacher=null",
    "data.path=a,b",
    "data.cluster=evil.example:6379",
    "++data.layout.download=true",
    "++data.layout={download: true}",
    "no override at all",
    7,
]


@pytest.mark.parametrize("text", HOSTILE, ids=str)
def test_what_a_file_may_not_say_is_never_replayed(run, capsys, text):
    folder = run / "teacher"
    (folder / "overrides.json").write_text(json.dumps(["data=points", text]), encoding="utf-8")
    assert recorded_overrides("evaluate", [f"run={run}"]) == ["data=points"]
    if not str(text).startswith("seed"):
        assert "not taken up" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "3", '"data=points"', '{"a": 1}', "[[[]]]", "[" * 9000])
def test_a_file_that_is_no_list_of_overrides_says_nothing(run, content):
    (run / "teacher" / "overrides.json").write_text(content, encoding="utf-8")
    assert recorded_overrides("evaluate", [f"run={run}"]) == []


def test_data_models_and_their_training_are_replayed():
    said = [
        "teacher=maf_spline",
        "++teacher.hidden=[32,32]",
        "student.encoder=${teacher.encoder}",
        "~objective.terms.power",
        "features@data.mel=clarinet",
        "optimizer@teacher_trainer.optimizer=adamw",
        "teacher_trainer.steps=5",
        "++data.path='my (1) folder'",
        "experiment=null",
    ]
    assert replayable(said, groups([config_dir()])) == (said, [])


words = st.sampled_from(
    ["data", "teacher", "hydra", "_target_", "trusted", "path", "steps", "transform", "exports"]
)
keys = st.lists(words, min_size=1, max_size=3).map(".".join)
values = st.one_of(
    st.sampled_from(["points", "3", "[1,2]", "{_target_:canary.run}", "${oc.env:HOME}", "null"]),
    st.builds("{{{}:{}}}".format, words, words),
    st.text("ab{}[]:,'$_./=", max_size=8),
)
texts = st.builds(
    "{}{}{}={}".format,
    st.sampled_from(["", "+", "++", "~"]),
    keys,
    st.sampled_from(["", "", "@hydra.x", "@data.mel", "@_global_"]),
    values,
)


@settings(max_examples=12, deadline=None)
@given(said=st.lists(texts, min_size=1, max_size=2))
def test_no_recorded_override_makes_a_config_name_anything_else(said):
    kept, left = replayable(said, groups([config_dir()]))
    assert sorted([*kept, *left]) == sorted(said)
    for text in kept:
        override = OverridesParser.create().parse_override(text)
        # Added outright, so that a missing key does not hide what the value would bring.
        plain = f"++{text.lstrip('+~')}" if not override.is_delete() else text
        try:
            with initialize_config_dir(str(config_dir()), version_base="1.3"):
                composed = compose("evaluate", [plain], return_hydra_config=True)
        except Exception:
            continue
        assert composed.trusted == []
        assert composed.hydra.get("callbacks") == {}
        for part in ("data", "teacher", "student"):
            for name in re.findall("_target_: (.*)", OmegaConf.to_yaml(composed[part])):
                check_config({"_target_": name})
