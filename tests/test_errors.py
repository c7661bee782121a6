"""Errors become one line with the right exit code."""

from __future__ import annotations

import json

import pytest
from hydra.errors import InstantiationException

from distill.errors import describe, suggest
from distill.instantiate import build


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a: wanted b, got c."),
        FileNotFoundError("a: wanted b, got c."),
        FileExistsError("a: wanted b, got c."),
        caused(
            InstantiationException("Error in call to target"), ValueError("a: wanted b, got c.")
        ),
    ],
)
def test_a_users_error_keeps_its_words_and_exits_with_2(error):
    assert describe(error).text == "a: wanted b, got c."
    assert describe(error).code == 2


def test_many_lines_become_one():
    assert describe(ValueError("one\n   two\n\nthree")).text == "one two three"


def test_what_the_system_says_names_the_file(tmp_path):
    with pytest.raises(FileNotFoundError) as missing:
        (tmp_path / "nothing").open()
    assert describe(missing.value).text == f"{tmp_path / 'nothing'}: no such file or directory"
    with pytest.raises(IsADirectoryError) as folder:
        tmp_path.open()
    assert describe(folder.value).text == f"{tmp_path}: is a directory"


def test_broken_json_is_a_users_error():
    with pytest.raises(ValueError) as broken:
        json.loads("{")
    assert describe(broken.value).code == 2


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("x"), TypeError("x"), KeyError("x"), AssertionError()]
)
def test_anything_else_is_called_a_bug_and_exits_with_1(error):
    described = describe(error)
    assert described.code == 1
    assert type(error).__name__ in described.text
    assert "--traceback" in described.text


def test_a_bug_inside_a_constructor_is_a_bug():
    assert describe(caused(InstantiationException("Error in call"), KeyError("x"))).code == 2
    assert (
        describe(caused(InstantiationException("Error in call"), KeyError("x"))).text
        == "Error in call"
    )


def test_an_argument_that_a_constructor_lacks_is_named():
    with pytest.raises(ValueError, match=r"^Moons takes no conditions\. Leave it out"):
        build({"_target_": "distill.data.Moons", "conditions": ["label"]})


def test_a_missing_package_is_named_but_a_missing_part_of_distill_is_a_bug():
    assert "pesq" in describe(ModuleNotFoundError("No module named 'pesq'", name="pesq")).text
    assert describe(ModuleNotFoundError("No module", name="distill.stages.x")).code == 1


def test_an_interruption_exits_with_130():
    assert describe(KeyboardInterrupt()).code == 130


def test_memory_has_a_way_out():
    assert "smaller batch" in describe(MemoryError()).text


def test_a_suggestion_is_given_only_where_something_is_near():
    assert suggest("moonz", ["moons", "rings"]) == " Did you mean moons?"
    assert suggest("xyz", ["moons", "rings"]) == ""
