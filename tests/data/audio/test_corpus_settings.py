"""What a corpus refuses before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from distill.data.audio import AudioCorpus
from distill.data.audio.selection import Lists


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cache_limit", -1),
        ("cache_limit", float("nan")),
        ("longest", 0),
        ("bucket", -1),
        ("memory", -1),
        ("workers", -1),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"data\.{name}: wanted"):
        AudioCorpus(str(tmp_path), **{name: value})


@pytest.mark.parametrize(("name", "value"), [("level", -100), ("level", 10), ("trim", -5)])
def test_levels_that_leave_no_sound_are_refused(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"data\.{name}: wanted a number"):
        AudioCorpus(str(tmp_path), **{name: value})


@pytest.mark.parametrize("files", ["val.txt", ["a"], {"held_out": 3}, {"held_out": None}, {}])
def test_lists_that_are_no_files_by_part_are_refused(files: object) -> None:
    with pytest.raises(ValueError, match=r"data\.lists: wanted a file for held_out"):
        Lists(files)  # type: ignore[arg-type]


def test_a_list_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"\xff\xfea\n")
    for path in (tmp_path / "list.txt", tmp_path):
        with pytest.raises(ValueError, match="no text in UTF-8"):
            Lists({"held_out": str(path)})
