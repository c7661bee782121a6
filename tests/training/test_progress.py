"""Whoever trains sees how far it is: a bar in a terminal, whole lines in a log."""

import io

from distill.training import progress


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
