"""TensorBoard's HParams page of several runs, a row a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from distill.stages.comparing.table import Comparison


def write_page(comparison: Comparison, folder: Path) -> None:
    """Write a page's events: hparams are the settings that differ, each run's config is a text.

    Arguments:
        comparison: What the page shows.
        folder: Of the page; `tensorboard --logdir FOLDER` shows it.
    """
    columns = {key: _of_one_kind(values) for key, values in comparison.settings.items()}
    # TensorBoard takes the columns of the first experiment it finds, so one names those of all.
    any_value = {key: next(iter(values.values())) for key, values in columns.items()}
    experiment, _, _ = hparams(any_value, dict.fromkeys(comparison.metrics, 0.0))
    with SummaryWriter(str(folder)) as writer:
        writer.file_writer.add_summary(experiment)
    for run in comparison.runs:
        own = {key: values[run.label] for key, values in columns.items() if run.label in values}
        _, start, end = hparams(own, {})
        with SummaryWriter(str(folder / run.label)) as writer:
            writer.file_writer.add_summary(start)
            for name in comparison.metrics:
                if name in run.metrics:
                    writer.add_scalar(name, run.metrics[name], 0)
            text = yaml.safe_dump({k: dict(v) for k, v in run.configs.items()}, sort_keys=False)
            writer.add_text("config", f"```yaml\n{text}```", 0)
            writer.file_writer.add_summary(end)


def _of_one_kind(values: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """Return a column's values, as texts unless all are numbers or all true or false."""
    if all(isinstance(value, bool) for value in values.values()):
        return dict(values)
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values.values()):
        return {label: float(value) for label, value in values.items()}
    return {label: str(value) for label, value in values.items()}
