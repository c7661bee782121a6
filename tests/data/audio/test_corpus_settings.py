"""What a corpus refuses before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

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


def recordings(folder: Path) -> str:
    """Write ten clips of half a second."""
    for i in range(10):
        noise = np.random.default_rng(i).uniform(-0.1, 0.1, 4000)
        soundfile.write(folder / f"{i}.wav", noise, 8000)
    return str(folder)


SMALL = {"sample_rate": 8000, "crop": 1024, "cache": None, "conditions": []}


def test_a_length_that_no_clip_keeps_below_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none of 10 files can be used \(10 too long\).*0\.1 s"):
        AudioCorpus(recordings(tmp_path), longest=0.1, **SMALL)


def test_a_held_out_name_that_no_clip_has_is_said_where_it_is_learnt_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, listed = recordings(tmp_path), tmp_path / "held_out.txt"
    listed.write_text("0\n1\nnew/2\n3x\n")
    AudioCorpus(place, lists={"held_out": str(listed)}, **SMALL)
    said = capsys.readouterr().err
    assert said.startswith("note: data.lists: no clip has the name of 1, first 3x, and what was")
    assert "is learnt from" in said
