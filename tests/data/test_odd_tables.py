"""Tables as people have them: headers of numbers, decimal commas, whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from distill.data import Points
from distill.data.table import read_table


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


def test_what_was_read_is_said_and_whole_numbers_are_warned_of(tmp_path, capsys):
    rng = np.random.default_rng(0)
    values = rng.normal(size=40), rng.integers(9, size=40)
    rows = [f"{a:.3f},{b}" for a, b in zip(*values, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["x,n", *rows]))
    data = Points(str(tmp_path / "a.csv"))
    out = capsys.readouterr().out
    assert "a.csv: 40 rows, 2 columns (header: x, n)" in out
    assert "whole numbers only in column n" in out
    assert data.spec.settings["columns"] == ["x", "n"]
    spread = Points(str(tmp_path / "a.csv"), dequantize=True)
    assert "note" not in capsys.readouterr().out
    moved = spread.train_values[:, 1] - spread.train_values[:, 1].round()
    assert 0 < moved.abs().max() <= 0.5
    assert (spread.train_values[:, 0] == data.train_values[:, 0]).all()
