"""Look through a corpus of audio: what it holds, what is left out and why; into RUN/prepare."""

from __future__ import annotations

import time

from omegaconf import DictConfig

from distill.checks import check_seed
from distill.data.audio import AudioData
from distill.evaluation import Report
from distill.instantiate import build
from distill.stages.differences import config_of, fingerprint
from distill.stages.folders import root_of
from distill.stages.training import write_config
from distill.stages.work import alone_in, recorded
from distill.training import Tracker


def run(config: DictConfig) -> dict[str, float]:
    """Scan the config's data, cache its features, and report; a second run finds what is cached.

    Errors:
        ValueError: The data is no audio, or no file can be used.
    """
    began = time.monotonic()
    check_seed(config.seed)
    data = build(config.data)
    if not isinstance(data, AudioData):
        raise ValueError(
            f"data: wanted audio, got {type(data).__name__}, which needs no preparation. Choose "
            "data=audio, ljspeech, libritts, vctk, digits or tones."
        )
    folder, mine = root_of(config) / "prepare", config_of(config, "prepare")
    table = data.scan.table()
    print(table, flush=True)
    print(f"\n{data.cache_table()}".rstrip(), flush=True)
    numbers = data.scan.metrics | {
        "train": float(len(data.train_names)),
        "held_out": float(len(data.held_out_names)),
        "scale": data.spec.scale[0],
        "stage_seconds": time.monotonic() - began,
    }
    # A report is what the corpus is now: there is nothing in an older one to keep.
    with (
        alone_in(folder),
        recorded(folder, "prepare", mine, {"data": fingerprint(data.identity())}),
        Tracker(folder) as tracker,
    ):
        write_config(mine, folder)
        tracker.report(Report(scalars=numbers, tables={"report": table}), 0)
        return tracker.metrics(numbers)  # type: ignore[return-value]
