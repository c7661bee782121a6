"""Archives from elsewhere: what they promise is looked at before any of it is read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.arrays import read_pt
from distill.contract import DataSpec
from distill.data.audio.frame_files import read_content
from distill.errors import describe
from distill.export import PT2
from distill.models import maf
from distill.models.checkpoint import read_checkpoint, save


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = maf(DataSpec(sites=2), layers=1, hidden=[4])
    return save(model, tmp_path / "checkpoint.pt")


def repacked(path: Path, how: int) -> None:
    """Write an archive again, its parts compressed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def overlapping(path: Path, parts: int, size: int) -> None:
    """Write an archive of many parts that are all the same bytes."""
    first = io.BytesIO()
    with zipfile.ZipFile(first, "w") as archive:
        archive.writestr("a", bytes(size))
        one = archive.infolist()[0]
        for number in range(1, parts):
            again = zipfile.ZipInfo(f"b{number}")
            again.header_offset, again.CRC = one.header_offset, one.CRC
            again.file_size = again.compress_size = size
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
        archive._didModify = True
    path.write_bytes(first.getvalue())


def test_compressed_parts_are_refused_before_they_are_unpacked(checkpoint):
    repacked(checkpoint, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="not a readable checkpoint") as caught:
        read_checkpoint(checkpoint)
    assert "compressed" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match=r"can't be read as frames \(its parts are compressed"):
        read_content(checkpoint)


def test_more_than_the_file_holds_is_refused(tmp_path):
    file = tmp_path / "mel.pt"
    overlapping(file, 1000, 10_000)
    assert file.stat().st_size < 200_000
    with pytest.raises(ValueError, match="promise 10000000 bytes"):
        read_pt(file)
    file = file.rename(tmp_path / "student.pt2")
    with pytest.raises(ValueError, match="promise 10000000 bytes"):
        PT2().load(file)


def test_a_part_named_twice_is_refused(checkpoint):
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(checkpoint, "a") as archive,
    ):
        archive.writestr(archive.namelist()[0], b"")
    with pytest.raises(ValueError, match="two parts of one name"):
        read_pt(checkpoint)


def test_a_file_of_an_old_torch_is_read_still(tmp_path):
    torch.save(torch.ones(3, 2), tmp_path / "mel.pt", _use_new_zipfile_serialization=False)
    assert read_content(tmp_path / "mel.pt").shape == (3, 2)


ODD: dict[str, Any] = {
    "config": [],
    "role": 3,
    "weights": torch.zeros(2),
    "training": None,
    "format": torch.ones(2),
    "spec": {"sites": -1},
    "spec ": {"sites": 2, "features": [1]},
    "spec  ": {"sites": 2, "features": {"mel": {"kind": "smell", "size": 3}}},
    "spec   ": {"sites": 2, "scale": ["wide"]},
    "spec    ": {"sites": 2, "scale": [float("nan")]},
    "weights ": {"a": torch.zeros(1).expand(10**12)},
    "weights  ": {"a": torch.zeros(2).to_sparse()},
    "weights   ": {3: torch.zeros(2)},
    "made_from": [1],
    "made_from ": {"data": "moons"},
    "made_from  ": {"data": {"spec": 3}},
    "everything": torch.zeros(3),
}


@pytest.mark.parametrize("name", ODD)
def test_a_checkpoint_of_odd_parts_is_refused_in_a_line(checkpoint, name):
    values = torch.load(checkpoint, weights_only=True)
    values = ODD[name] if name == "everything" else {**values, name.strip(): ODD[name]}
    torch.save(values, checkpoint)
    with pytest.raises(ValueError, match=r"checkpoint|DataSpec|FeatureSpec") as caught:
        read_checkpoint(checkpoint)
    described = describe(caught.value)
    assert described.code == 2
    assert len(described.text) < 400
