"""What is typed is looked at before anything runs."""

from __future__ import annotations

import pytest

from distill.cli.overrides import checked


@pytest.mark.parametrize("text", ["+sead=3", "++sead=3", "+sead={a: 1}"])
def test_a_key_that_is_added_beside_all_others_is_refused(text):
    with pytest.raises(ValueError, match=r"sead: unknown key\. Did you mean seed"):
        checked("teacher", [text])


@pytest.mark.parametrize(
    "texts",
    [
        ["++seed=3"],
        ["+export@exports.loops=loops"],
        ["+size=3", "++teacher.layers=${size}"],
        ["+size={a: 3}", "++teacher.layers=${size.a}"],
        ["+data.mine=3"],
    ],
)
def test_what_is_known_or_referred_to_may_be_added(texts):
    assert checked("teacher", texts) == texts


def test_a_file_of_ones_own_may_refer_to_what_is_added(tmp_path):
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "own.yaml"
    file.write_text("# @package _global_\nteacher:\n  layers: ${size}\n")
    texts = ["experiment=own", "+size=3"]
    assert checked("teacher", texts, str(tmp_path)) == texts


@pytest.mark.parametrize(
    ("stage", "text", "says"),
    [
        ("compare", "metrics=nll", "metrics: wanted a list, as in \\[a,b\\] or null, got 'nll'"),
        ("compare", "runs=sw", "runs: wanted a list, as in \\[a,b\\], got 'sw'"),
        ("benchmark", "benchmark.student=eager", "wanted a list, as in \\[a,b\\], got 'eager'"),
        ("benchmark", "benchmark.batch_sizes=16", "wanted a list of numbers, .*, got 16"),
        ("benchmark", "benchmark.batch_sizes=null", "wanted a list of numbers, .*, got None"),
        ("teacher", "teacher_trainer=null", "teacher_trainer: wanted a mapping, got None"),
        ("teacher", "likelihood=null", "likelihood: wanted a mapping, got None"),
        ("teacher", "seed=1,2", "several values want -m, which runs once for each.$"),
        ("teacher", "name=a,1", "which runs once for each; quote a comma: \"name='a,1'\".*"),
        ("teacher", "teacher.hidden=8,8", "for each; a list is written 'teacher.hidden=.8,8.'.$"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_the_kind_that_is_wanted(stage, text, says):
    with pytest.raises(ValueError, match=says):
        checked(stage, [text])


@pytest.mark.parametrize("text", ["input=", "output=''", "input=' '", "speaker="])
def test_a_value_that_is_empty_is_no_folder_that_one_stands_in(text):
    with pytest.raises(ValueError, match=rf"{text.partition('=')[0]}: no value\. Give one"):
        checked("sample", [text])


def test_a_path_with_a_comma_is_told_how_to_be_quoted():
    with pytest.raises(ValueError, match=r"quote a comma: .data.path=.data,1.csv...$"):
        checked("teacher", ["data=points", "data.path=data,1.csv"])
    quoted = ["data=points", "data.path='data,1.csv'"]
    assert checked("teacher", quoted) == quoted


@pytest.mark.parametrize("text", ["metrics=null", "metrics=[nll]", "runs=[a,b]"])
def test_lists_and_what_may_be_none_pass(text):
    assert checked("compare", [text]) == [text]


def test_an_export_is_left_out_by_null():
    assert checked("export", ["exports.onnx=null"]) == ["exports.onnx=null"]
