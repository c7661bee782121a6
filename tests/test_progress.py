"""Whoever waits sees how far it is: a bar in a terminal, whole lines in a log."""

import io

from distill import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch, stream, done):
    monkeypatch.setattr("sys.stderr", stream)
    with progress.progress_bar("training", total=40, start=10, interval=0.0) as bar:
        for step in done:
            progress.show(bar, step, loss=0.5)
    return stream.getvalue()


def test_a_log_gets_whole_lines_with_rate_and_what_remains(monkeypatch):
    lines = shown(monkeypatch, io.StringIO(), [20, 40]).splitlines()
    assert [line.split()[:2] for line in lines] == [["training", "20/40"], ["training", "40/40"]]
    assert all("steps/s" in line and "left, loss=0.5" in line for line in lines)


def test_a_log_is_not_written_to_without_need(monkeypatch):
    monkeypatch.setattr("sys.stderr", log := io.StringIO())
    with progress.progress_bar("training", total=1000, interval=60.0) as bar:
        for step in range(1, 8):
            progress.show(bar, step, loss=0.5)
    assert log.getvalue().count("\n") == 1  # where it was left
    with progress.progress_bar("training", total=1000):
        pass
    assert log.getvalue().count("\n") == 1


def test_a_terminal_gets_one_line_that_moves(monkeypatch):
    text = shown(monkeypatch, Terminal(), [20, 40])
    assert text.count("\n") == 1
    assert "training: 100%" in text
    assert "40/40" in text


def test_work_that_is_soon_done_shows_nothing_and_longer_work_what_remains(monkeypatch):
    monkeypatch.setattr("sys.stderr", log := io.StringIO())
    assert list(progress.tracked(range(3), "compare")) == [0, 1, 2]
    assert log.getvalue() == ""
    monkeypatch.setattr(progress, "PATIENCE", 1e-9)
    assert sum(progress.tracked(iter([1, 2]), "compare", 2, "files")) == 3
    (line,) = log.getvalue().splitlines()
    assert line.startswith("compare  2/2")
    assert "files/s" in line
    assert "left" in line
