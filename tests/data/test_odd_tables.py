"""Tables as people have them: headers of numbers, decimal commas, whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from distill.data import Points
from distill.data.convert import as_data
from distill.data.table import read_table

TWO = np.random.default_rng(0).normal(size=(30, 2))


@pytest.mark.parametrize("names", ["0,1", "2023,2024"])
def test_a_header_of_numbers_is_no_row(tmp_path, names):
    (tmp_path / "a.csv").write_text(f"{names}\n1.5,2.5\n3.0,4.25\n")
    table = read_table(tmp_path / "a.csv")
    assert table.names == tuple(names.split(","))
    assert table.values.tolist() == [[1.5, 2.5], [3.0, 4.25]]
    assert read_table(tmp_path / "a.csv", header=False).values.shape == (3, 2)


def test_a_first_row_of_whole_numbers_above_others_is_a_row_unless_told(tmp_path):
    (tmp_path / "a.csv").write_text("0,1\n5,6\n7,8\n")
    assert read_table(tmp_path / "a.csv").values.shape == (3, 2)
    assert read_table(tmp_path / "a.csv", header=True).names == ("0", "1")


@pytest.mark.parametrize("delimiter", [";", "\t", " "])
def test_decimal_commas_are_read_between_other_delimiters(tmp_path, delimiter):
    rows = ["1,5", "-2,25"], ["3", "4,0e1"]
    text = "\n".join(delimiter.join(row) for row in rows)
    (tmp_path / "a.txt").write_text(text)
    table = read_table(tmp_path / "a.txt")
    assert table.values.tolist() == [[1.5, -2.25], [3.0, 40.0]]
    assert "decimal commas" in table.summary("a.txt")


@pytest.mark.parametrize(
    ("line", "text"),
    [(3, "a;b\n1,5;2\n1.250;3\n"), (4, "a b\n998 1\n999 2\n1,000 3\n"), (1, "1.5;2,5\n")],
)
def test_signs_that_may_part_thousands_are_no_decimal_commas(tmp_path, line, text):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=f"line {line}.*may part thousands"):
        read_table(tmp_path / "a.csv")


def test_three_decimals_behind_commas_are_read(tmp_path):
    (tmp_path / "a.csv").write_text("a;n\n1,250;1\n12,500;2\n")
    assert read_table(tmp_path / "a.csv").values.tolist() == [[1.25, 1], [12.5, 2]]


def test_a_space_before_a_quoted_cell_is_no_part_of_it(tmp_path):
    (tmp_path / "a.csv").write_text('"a", "b"\n"1.5", "2.5"\n')
    table = read_table(tmp_path / "a.csv")
    assert table.names == ("a", "b")
    assert table.values.tolist() == [[1.5, 2.5]]


def test_copies_of_rows_are_told_of(capsys):
    as_data(np.concatenate([TWO, TWO[:7]]))
    assert "note: as_data: 7 of 37 rows are copies of others" in capsys.readouterr().out
    as_data(np.arange(60).reshape(30, 2) % 4)
    assert "copies" not in capsys.readouterr().out


def test_numbers_of_half_precision_are_compared_without_overflow(capsys):
    wide = (2e4 * TWO).astype(np.float16)
    as_data(np.concatenate([wide, wide[:, :1]], 1))
    assert "column 2 is column 0 scaled and shifted" in capsys.readouterr().out


def test_what_was_read_is_said_and_whole_numbers_are_warned_of(tmp_path, capsys):
    rng = np.random.default_rng(0)
    values = rng.normal(size=40), rng.integers(9, size=40)
    rows = [f"{a:.3f},{b}" for a, b in zip(*values, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["x,n", *rows]))
    data = Points(str(tmp_path / "a.csv"))
    out = capsys.readouterr().out
    assert "a.csv: 40 rows, 2 columns (header: x, n)" in out
    assert "note: " in out
    assert "whole numbers only in column n: " in out
    assert data.spec.settings["columns"] == ["x", "n"]
    spread = Points(str(tmp_path / "a.csv"), dequantize=True)
    assert "note" not in capsys.readouterr().out
    moved = spread.train_values[:, 1] - spread.train_values[:, 1].round()
    assert 0 < moved.abs().max() <= 0.5
    assert (spread.train_values[:, 0] == data.train_values[:, 0]).all()


def written(path, names, columns) -> str:
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([*([",".join(names)] if names else []), *rows]))
    return str(path)


def test_columns_of_true_and_false_and_of_few_values_are_said_and_spread(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x, flag, rating = (
        rng.normal(size=60),
        rng.integers(2, size=60) > 0,
        rng.integers(5, size=60) / 2,
    )
    count = 10 * rng.integers(4, size=60)
    path = written(tmp_path / "a.csv", ["x", "ok", "stars", "n"], [x, flag, rating, count])
    data = Points(path)
    out = capsys.readouterr().out
    assert "true and false as 1 and 0 in column 2 (ok)" in out
    said = "booleans only in column ok, few values only in column stars, whole numbers only in "
    assert f"note: {path}: {said}column n: " in out
    assert sorted(set(data.train_values[:, 1].tolist())) == [0, 1]
    wide = Points(path, dequantize=True)
    assert "note" not in capsys.readouterr().out
    moved = (wide.train_values - data.train_values).abs().max(0).values.tolist()
    # As far as half of a step, which is 1, a half, and ten.
    assert moved[0] == 0
    assert moved[1:] == pytest.approx([0.5, 0.25, 5], rel=0.1)
    steps = np.array([1, 0.5, 10])
    again = np.rint(wide.train_values[:, 1:].numpy() / steps) * steps
    assert np.array_equal(again, data.train_values[:, 1:].numpy())


def test_booleans_need_no_header_and_are_not_mixed_with_numbers(tmp_path):
    path = written(tmp_path / "a.csv", [], [["True", "False"], ["FALSE", "true"]])
    table = read_table(path)
    assert table.names is None
    assert table.values.tolist() == [[1, 0], [0, 1]]
    path = written(tmp_path / "b.csv", ["x"], [["true", "2.5", "false"]])
    with pytest.raises(ValueError, match=r"column 1 \(x\) holds numbers and true or false"):
        read_table(path)


def test_booleans_in_arrays_are_said_too(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.arange(40) % 3 == 0)
    Points(str(tmp_path / "a.npy"))
    assert "booleans only in column 0: " in capsys.readouterr().out


def test_a_column_that_copies_another_is_said(tmp_path, capsys):
    x, y = np.random.default_rng(0).normal(size=(2, 50))
    table = np.stack([x, y, np.round(3 - 2 * x, 6)], 1)
    np.savetxt(tmp_path / "a.csv", table, delimiter=",", header="x,y,z", comments="")
    Points(str(tmp_path / "a.csv"))
    assert "column z is column x scaled and shifted" in capsys.readouterr().out
    Points(str(tmp_path / "a.csv"), condition=["z"])  # its density is the value's given it
    assert "scaled and shifted" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "features", "says"),
    [
        (TWO * 1e39, {}, "reach"),
        (TWO + 1j, {}, "wanted real numbers"),
        (np.full((30, 1), "a"), {}, "wanted real numbers"),
        (TWO, {"a": TWO * 1e30}, "a reach"),
        (TWO, {3: TWO}, "by name"),
        (TWO, {"a": np.full(30, 2**40)}, "wanted labels"),
        (torch.zeros(30, 2, device="meta"), {}, "a dense tensor"),
        (torch.eye(30).to_sparse(), {}, "a dense tensor"),
        ([[1.0, 2.0], [3.0]], {}, "rows of one length"),
    ],
)
def test_arrays_that_are_no_numbers_are_refused_by_what_they_are(values, features, says):
    with pytest.raises(ValueError, match=says):
        as_data(values, features)


@pytest.mark.parametrize(
    ("values", "features", "says"),
    [
        (TWO, np.arange(30), r'features by name, as \{"label": ...\}, got ndarray'),
        (TWO, torch.arange(30), r"features by name, .* got Tensor"),
        (TWO, {"a": 3}, "'a' wanted a row for each value, got 3"),
        (np.ma.masked_less(TWO, 0.0), {}, r"got an array with \d+ masked\. .*\.filled"),
        (TWO, {"a": np.ma.masked_less(TWO, 0.0)}, r"got an array with \d+ masked"),
        ("a.csv", {"a": TWO}, r"a\.csv: a file or folder brings its own features.*condition="),
        (".", {"a": TWO}, r"a file or folder brings its own features.*conditions="),
        ([(row, {"a": 1} if i < 7 else {}) for i, row in enumerate(TWO)], None, r"row 7\."),
        ([(row, {"a": 1} if i else {}) for i, row in enumerate(TWO)], None, r"none in row 0 and a"),
        ([(row, {"a": TWO[0][: 1 + i // 3]}) for i, row in enumerate(TWO)], None, r"in row 3\."),
    ],
)
def test_features_that_are_not_one_row_a_value_by_name_are_refused(
    tmp_path, monkeypatch, values, features, says
):
    monkeypatch.chdir(tmp_path)
    np.savetxt("a.csv", TWO, delimiter=",")
    with pytest.raises(ValueError, match=says):
        as_data(Rows(values) if isinstance(values, list) else values, features)


def test_a_masked_array_without_masked_entries_is_an_array():
    plain = as_data(TWO, {"a": TWO})
    masked = as_data(np.ma.masked_array(TWO), {"a": np.ma.masked_array(TWO)})
    assert masked.identity() == plain.identity()


def test_rows_of_a_dataset_that_have_the_same_features_in_another_order_are_taken():
    rows = [(row, {"a": i, "b": i % 3}) for i, row in enumerate(TWO)]
    turned = [
        (row, dict(reversed(own.items())) if i % 2 else own) for i, (row, own) in enumerate(rows)
    ]
    assert as_data(Rows(turned)).identity() == as_data(Rows(rows)).identity()


class Rows(Dataset):
    """A dataset of rows given in a list."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Frame:
    """What pandas, polars and pyarrow have in common."""

    def __array__(self, dtype=None, copy=None):
        return TWO


def test_data_frames_are_taken_as_the_arrays_that_they_give():
    assert torch.equal(as_data(Frame()).train_values, as_data(TWO).train_values)


def test_tensors_of_bfloat16_are_read_as_floats():
    values = torch.randn(30, 2).bfloat16()
    assert torch.equal(as_data(values).train_values, as_data(values.float()).train_values)


def test_an_underscore_makes_a_name_of_digits(tmp_path):
    (tmp_path / "a.csv").write_text("2024_06,2024_07\n1.5,2.5\n")
    assert read_table(tmp_path / "a.csv").names == ("2024_06", "2024_07")
    (tmp_path / "a.csv").write_text("month,value\n2024_06,1.5\n2024_07,2.5\n")
    with pytest.raises(
        ValueError, match=r"line 2, column 1 \(month\): wanted a number, got '2024_"
    ):
        read_table(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_a_column_that_counts_the_rows_and_has_no_name_is_refused(tmp_path, name):
    rows = [f"{i},{x},{y}" for i, (x, y) in enumerate(TWO)]
    (tmp_path / "a.csv").write_text("\n".join([f"{name},x,y", *rows]))
    with pytest.raises(
        ValueError, match=r"a\.csv: column 1 has no name and counts the rows, .*index"
    ):
        as_data(str(tmp_path / "a.csv"))
    (tmp_path / "a.csv").write_text("\n".join([f"{name},x,y", *reversed(rows)]))
    assert read_table(tmp_path / "a.csv").values.shape == (30, 3)
