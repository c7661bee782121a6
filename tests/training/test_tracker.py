"""What a tracker writes of a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distill.evaluation import Report
from distill.training import Tracker


def test_a_figure_is_drawn_once_for_the_file_and_for_tensorboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    plain = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, *rest: (drawn.append(1), plain(self, *rest)))
    figure = Figure(figsize=(2.0, 1.0), layout="constrained")
    figure.subplots().plot([0, 1], color="red")
    with Tracker(tmp_path) as tracker:
        tracker.report(Report(figures={"part/line": figure}), step=7)
    assert len(drawn) == 1
    pixels = imread(tmp_path / "figures" / "part_line.png")[..., :3]
    assert pixels.shape == (110, 220, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 2
    events = EventAccumulator(str(tmp_path)).Reload()
    (event,) = events.Images("part/line")
    assert (event.step, event.width, event.height) == (7, 220, 110)
    shown = tmp_path / "shown.png"
    shown.write_bytes(event.encoded_image_string)
    np.testing.assert_array_equal(imread(shown)[..., :3], pixels)
