"""Points and tables from files, good and bad."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from distill.data import Points
from distill.instantiate import build

CONF = Path(__file__).parents[2] / "conf"


def _values(rows: int = 40, columns: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, columns))


def _sorted(data: Points) -> np.ndarray:
    x = torch.cat([data.train_values, data.held_out_values]).numpy()
    return x[np.argsort(x[:, 0])]


@pytest.mark.parametrize(
    ("ending", "delimiter", "header"),
    [
        (".csv", ",", ""),
        (".csv", ",", "a,b,c"),
        (".csv", ";", "a;b;c"),
        (".tsv", "\t", ""),
        (".txt", " ", "# a comment"),
    ],
)
def test_text_forms_give_the_same_points_as_npy(
    tmp_path: Path, ending: str, delimiter: str, header: str
) -> None:
    values = _values()
    np.save(tmp_path / "x.npy", values)
    file = tmp_path / f"x{ending}"
    np.savetxt(file, values, fmt="%.17g", delimiter=delimiter, header=header, comments="")
    assert np.array_equal(_sorted(Points(str(file))), _sorted(Points(str(tmp_path / "x.npy"))))


def test_one_dimension_is_one_site(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", _values(30, 1)[:, 0])
    assert Points(str(tmp_path / "x.npy")).spec.sites == 1


@pytest.mark.parametrize("condition", [["speed"], [1], "speed", 1, [-2]])
def test_condition_columns_become_a_feature(tmp_path: Path, condition: list) -> None:
    values = _values()
    values[:, 1] = 10 * values[:, 0]
    file = tmp_path / "x.csv"
    np.savetxt(file, values, delimiter=",", header="a,speed,c", comments="")
    data = Points(str(file), condition=condition)
    batch = data.train_batch(0, 8, 0)
    assert batch.features is not None
    assert torch.allclose(batch.features["condition"][:, 0], 10 * batch.x[:, 0])
    assert (data.spec.sites, data.columns) == (2, ("a", "c"))


def test_columns_in_another_order_are_other_data(tmp_path: Path) -> None:
    for names in ("x,a,b", "x,b,a"):
        text = f"{names}\n" + "\n".join(",".join(map(str, row)) for row in _values())
        (tmp_path / f"{names}.csv").write_text(text)
    first = Points(str(tmp_path / "x,a,b.csv"), condition=[1, 2])
    other = Points(str(tmp_path / "x,b,a.csv"), condition=[1, 2])
    with pytest.raises(ValueError, match="the conditions a, b, in this order, this data has b, a"):
        other.check_matches(first.spec)
    Points(str(tmp_path / "x,b,a.csv"), condition=["a", "b"]).check_matches(first.spec)


def test_edges_make_modes_with_the_shares_of_the_training_part(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.repeat([[0.0], [1.0], [2.0], [2.1]], 25, axis=0))
    data = Points(str(tmp_path / "x.npy"), mode_edges=[0.5, 1.5], mode_names=["a", "b", "c"])
    assert data.modes is not None
    assert data.modes.assign(torch.tensor([[0.1], [0.5], [9.0]])).tolist() == [0, 1, 2]
    share = float((data.train_values > 1.5).double().mean())
    assert float(data.modes.shares[2]) == pytest.approx(share)


def test_edges_move_along_with_the_center(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.repeat([[10.0], [12.0]], 25, axis=0))
    data = Points(str(tmp_path / "x.npy"), mode_edges=[11.0], center=True)
    assert data.modes is not None
    assert data.modes.assign(torch.tensor([[-1.0], [1.0]])).tolist() == [0, 1]
    assert data.modes.names == ("below_11", "above_11")
    assert data.spec.loc[0] == pytest.approx(0, abs=0.3)


GOOD = "1,2\n" * 3 + "3,5\n" * 12
BAD_TEXT = {
    "word": (GOOD + "4,x\n", {}, r"line 16, column 2: wanted a number, got 'x'"),
    "named word": ("a,b\n" + GOOD + "4,x\n", {}, r"line 17, column 2 \(b\)"),
    "empty cell": (GOOD + "4,\n", {}, "line 16, column 2: wanted a number, got an empty cell"),
    "mixed header": ("a,1\n" + GOOD, {}, "line 1, column 1: wanted a number, got 'a'"),
    "ragged": (GOOD + "4,5,6\n", {}, "line 16: wanted 2 columns like the first line, got 3"),
    "nan": (GOOD + "4,nan\n", {}, "row 15, column 1 .*, 1 in all"),
    "infinity": (GOOD + "inf,-inf\n", {}, "row 15, column 0 .*, 2 in all"),
    "empty": ("", {}, "the file is empty"),
    "blank": ("\n\n# nothing\n", {}, "holds no rows"),
    "header only": ("a,b\n", {}, "no rows below it"),
    "same names": ("a,a\n" + GOOD, {}, "names a column twice"),
    "few rows": ("1,2\n3,4\n", {}, "at least 10 rows, got 2"),
    "column by name": ("a,b\n" + GOOD, {"condition": ["z"]}, "no column 'z': .*named a, b"),
    "column by index": (GOOD, {"condition": [2]}, "no column 2: the table has 2 columns"),
    "name without header": (GOOD, {"condition": ["a"]}, "2 columns without names"),
    "all columns": (GOOD, {"condition": [0, 1]}, "leave a column for the value"),
    "column twice": (GOOD, {"condition": [1, -1]}, "columns that differ"),
    "falling edges": (GOOD, {"mode_edges": [2.0, 1.0]}, "mode_edges that rise"),
    "names of modes": (GOOD, {"mode_edges": [2.0], "mode_names": ["a"]}, "2 mode_names"),
}


@pytest.mark.parametrize("name", BAD_TEXT)
def test_bad_text_raises_one_clear_line(tmp_path: Path, name: str) -> None:
    text, settings, message = BAD_TEXT[name]
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Points(str(tmp_path / "x.csv"), **settings)
    assert "\n" not in str(caught.value)


class _Hostile:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("ran"),))


def _truncated(file: Path) -> None:
    np.save(file, np.zeros((100, 2)))
    file.write_bytes(file.read_bytes()[:300])


def _huge(file: Path) -> None:
    with file.open("wb") as stream:
        header = {"descr": "<f8", "fortran_order": False, "shape": (10**14, 2)}
        np.lib.format.write_array_header_1_0(stream, header)


def _archive(file: Path) -> None:
    with file.open("wb") as stream:
        np.savez(stream, a=np.zeros(3))


BAD_NPY = {
    "pickled objects": lambda f: np.save(f, np.array([_Hostile()] * 20), allow_pickle=True),
    "pickle": lambda f: f.write_bytes(pickle.dumps(_Hostile())),
    "noise": lambda f: f.write_bytes(b"\x93NUMPY\x01\x00" + bytes(range(100))),
    "truncated": _truncated,
    "huge": _huge,
    "archive": _archive,
    "strings": lambda f: np.save(f, np.array(["a"] * 20)),
    "complex": lambda f: np.save(f, np.ones(20) * 1j),
    "three dimensions": lambda f: np.save(f, np.ones((3, 4, 5))),
    "no columns": lambda f: np.save(f, np.ones((30, 0))),
    "scalar": lambda f: np.save(f, np.float64(1)),
    "empty": lambda f: f.write_bytes(b""),
}


@pytest.mark.parametrize("name", BAD_NPY)
def test_bad_npy_raises_one_clear_line_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "x.npy"
    BAD_NPY[name](file)
    with pytest.raises(ValueError, match=r"x\.npy: ") as caught:
        Points(str(file))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_missing_file_and_other_endings_raise(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found nothing there\. Check data\.path"):
        Points(str(tmp_path / "x.npy"))
    with pytest.raises(FileNotFoundError, match="found a folder"):
        Points(str(tmp_path))
    (tmp_path / "x.xls").write_text("1")
    with pytest.raises(ValueError, match=r"ends in \.npy, \.csv"):
        Points(str(tmp_path / "x.xls"))
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe1,2")
    with pytest.raises(ValueError, match="UTF-8"):
        Points(str(tmp_path / "x.csv"))


@pytest.mark.parametrize("name", ["moons", "rings", "checkerboard", "banana", "text", "points"])
def test_config_builds_its_data(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / "x.npy", _values())
    config = OmegaConf.create({"seed": 3, "data": OmegaConf.load(CONF / "data" / f"{name}.yaml")})
    if name == "points":
        config.data.path = str(tmp_path / "x.npy")
    data = build(config.data)
    assert data.train_batch(0, 4, 0).x.shape == (4, data.spec.sites)


def test_gaps_along_the_first_column_part_the_modes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first = np.concatenate([rng.uniform(0, 1, 300), rng.uniform(1.5, 2, 100), [9.0]])
    np.save(tmp_path / "x.npy", np.stack([first, rng.normal(size=401)], 1))
    data = Points(str(tmp_path / "x.npy"), mode_gap=0.04)
    assert data.modes is not None
    assert len(data.modes.names) == 2
    assert data.modes.shares.tolist() == pytest.approx([0.75, 0.25], abs=0.03)
    assert data.modes.assign(torch.tensor([[0.5, 0.0], [1.6, 0.0], [9.0, 0.0]])).tolist() == [
        0,
        1,
        1,
    ]
