"""All stages in order under one run folder: teacher, student, evaluate, export, benchmark."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from distill.files import write_json
from distill.models.checkpoint import NAME, read_checkpoint
from distill.serving.runtime import check_npm
from distill.stages.claims import StaleError, check_resumable, is_stale
from distill.stages.differences import config_of
from distill.stages.export import backends_of
from distill.stages.folders import check_ways, root_of, weights_of
from distill.stages.links import check_inside
from distill.stages.reads import PIPELINE
from distill.stages.work import forget_whole

_TRAINED = ("teacher", "student")


def run(config: DictConfig) -> dict[str, float]:
    """Run every stage.

    With `resume=true`, what is whole and of the same things is kept, what was interrupted goes on,
    and what was made from something that has changed is made again; each in a line.

    Errors:
        FileExistsError: The run holds something, and neither `resume` nor `overwrite` is set.
        ValueError: It is to be resumed, but was made with other settings; no format of export is
            left; a page is wanted, and there is no npm; a link leads out of the run.
    """
    check_ways(config)
    root = root_of(config)
    _check(config, root)
    check_inside(root / "metrics.json")
    if config.page:
        check_npm()
    backends_of(config)
    everything: dict[str, float] = {}
    for name in PIPELINE:
        print(f"{name}: {root / name}", flush=True)
        stage = import_module(f"distill.stages.{name}")
        try:
            numbers = stage.run(config)
        except StaleError:
            print(f"{name}: what it was made from has changed, so it is made again", flush=True)
            anew = OmegaConf.merge(config, {"resume": False, "overwrite": True})
            numbers = stage.run(anew)
        finally:
            forget_whole(root / name)
        everything |= {f"{name}/{key}": value for key, value in numbers.items()}
    write_json(root / "metrics.json", everything)
    return everything


def _check(config: DictConfig, root: Path) -> None:
    """Raise before anything runs, where a later stage would be refused after hours."""
    for name in PIPELINE:
        folder = root / name
        trained = name in _TRAINED and (folder / NAME).is_file()
        if not (trained or (folder / "metrics.json").is_file()):
            continue
        if not (config.resume or config.overwrite):
            raise FileExistsError(
                f"{folder}: holds a {name} already. Go on with resume=true, replace everything "
                "with overwrite=true, or name another folder with run=."
            )
        if not (config.resume and trained):
            continue
        saved = read_checkpoint(folder)
        if not is_stale(saved, _teacher_in(root)):
            check_resumable(folder, saved, config_of(config, name), name)


def _teacher_in(root: Path) -> str | None:
    """Return the hash of a run's teacher, perhaps half trained, `None` without one."""
    folder = root / "teacher"
    return weights_of(read_checkpoint(folder)) if (folder / NAME).is_file() else None
