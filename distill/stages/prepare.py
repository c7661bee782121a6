"""Look through a corpus of audio: what it holds, what is left out and why; into RUN/prepare."""

from __future__ import annotations

import time

from omegaconf import DictConfig

from distill.configure import build
from distill.data.audio import AudioData
from distill.evaluation import Report
from distill.stages.folders import root_of
from distill.stages.training import write_config
from distill.training import Tracker


def run(config: DictConfig) -> dict[str, float]:
    """Scan the config's data, cache its features, and report; a second run finds what is cached.

    Errors:
        ValueError: The data is no audio, or no file can be used.
    """
    began = time.monotonic()
    data = build(config.data)
    if not isinstance(data, AudioData):
        raise ValueError(
            f"data: wanted audio, got {type(data).__name__}, which needs no preparation. Choose "
            "data=audio, ljspeech, digits or tones."
        )
    folder = root_of(config) / "prepare"
    write_config(config, folder)
    table = data.scan.table()
    print(table, flush=True)
    numbers = data.scan.metrics | {
        "train": float(len(data.train_names)),
        "held_out": float(len(data.held_out_names)),
        "scale": data.spec.scale[0],
        "stage_seconds": time.monotonic() - began,
    }
    with Tracker(folder) as tracker:
        tracker.report(Report(scalars=numbers, tables={"report": table}), 0)
        return tracker.metrics(numbers)  # type: ignore[return-value]
