"""One job of a sweep: its folder, and what the run in there was made with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, read_write

from distill.cli.overrides import checked
from distill.cli.reading import read_by
from distill.cli.recorded import key_of, recorded_overrides
from distill.cli.sweeps import job_folder
from distill.configs import composed


def of_job(
    stage: str,
    typed: Sequence[str],
    swept: Sequence[str],
    folder: str | None = None,
) -> DictConfig:
    """Return what a stage reads in one job of a sweep.

    Hydra gives all jobs the same overrides beside those swept over, but the runs of several jobs
    may have been made with others. What a search has chosen is checked here.

    Arguments:
        stage: Its name.
        typed: The overrides of this job that were typed.
        swept: Keys by which jobs have folders of their own.
        folder: The user's own config folder.

    Errors:
        ValueError: There is no run folder, or what was typed does not suit the run.
    """
    own = [Path(folder)] if folder else []
    recorded = recorded_overrides(stage, typed, own, swept)
    settings = HydraConfig.get()
    places = [text for text in settings.overrides.hydra if key_of(text) == "hydra.searchpath"]
    texts = checked(stage, [*recorded, *typed, *places], folder)
    config = read_by(stage, composed(stage, texts, own))
    with read_write(settings):  # type: ignore[arg-type]
        settings.overrides.task = texts[: len(texts) - len(places)]  # what the stage records
    if swept:
        config.run = job_folder(config.run, swept, typed)
    return config


def typed_of(task: Sequence[str], typed: Sequence[str]) -> list[str]:
    """Return those of a job's overrides whose keys were typed, and not taken up from a run.

    Example:
        >>> typed_of(["data=rings", "++seed=1"], ["seed=0,1"])
        ['seed=1']
    """
    keys = {key_of(text) for text in typed}
    plain = {key_of(text) for text in typed if text[0] not in "+~"}
    said = [text for text in task if key_of(text) in keys]
    # Checked overrides have got a prefix where a file does not hold their key.
    return [text.lstrip("+") if key_of(text) in plain else text for text in said]
