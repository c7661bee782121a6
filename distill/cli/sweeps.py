"""The runs of a sweep: a folder each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType

from distill.cli.quoting import split_at_commas
from distill.stages.reads import BEGINS
from distill.stages.typed_overrides import config_path_of

_LONGEST = 80
_REFERENCE = re.compile(r"\$\{([A-Za-z]\w*(?:\.\w+)*)\}")
_JOB = re.compile(r"\$\{hydra:job\.(num|id|override_dirname)\}")
_OUTSIDE = ("sample", "stream", "compare", "doctor")  # they write where output= says, or nothing

_PLACES = {"sample": ("output",), "stream": ("output",), "compare": ("output", "tensorboard")}
"""Keys that say where a stage writes."""
_NO_FILES = ("-", "device")


def swept_keys(typed: Sequence[str]) -> list[str]:
    """Return the keys that a command line sweeps over and that its run folder does not name.

    What `run=` refers to it names, itself where it is swept, and by `name` the experiment, unless
    `name=` is typed. A folder by `${hydra:job.num}` is a job's own already.

    Example:
        >>> swept_keys(["seed=0,1", "experiment=moons"])
        ['seed']
        >>> swept_keys(["seed=0,1", "run='runs/moons-${seed}'"])
        []
    """
    parsed = OverridesParser.create().parse_overrides(list(typed))
    runs = [override for override in parsed if override.key_or_group == "run"]
    places = _values(runs[-1]) if runs else ["runs/${name}"]
    if all(_JOB.search(place) for place in places):
        return []
    named = set.intersection(*(set(_REFERENCE.findall(place)) for place in places)) | {"run"}
    if "name" in named and not any(override.key_or_group == "name" for override in parsed):
        named.add("experiment")
    keys = [config_path_of(override) for override in parsed if override.is_sweep_override()]
    return [key for key in dict.fromkeys(keys) if key not in named]


def _values(override: Override) -> list[str]:
    if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
        key = override.key_or_group
        raise ValueError(f"{override.input_line}: name the values one by one, as in {key}=A,B.")
    said = (override.input_line or "").partition("=")[2]
    values = split_at_commas(said) if override.is_discrete_sweep() else [said]
    # A function of Hydra's lists what it comes to.
    of_function = override.is_discrete_sweep() and len(values) == 1
    return list(override.sweep_string_iterator()) if of_function else values


def first_job(typed: Sequence[str]) -> list[str]:
    """Return the overrides of a sweep's first job, without those that a search chooses.

    Example:
        >>> first_job(["seed=3,4", "run=r"])
        ['seed=3', 'run=r']
    """
    parsed = OverridesParser.create().parse_overrides(list(typed))
    return [
        f"{text.partition('=')[0]}={_values(override)[0]}" if override.is_sweep_override() else text
        for text, override in zip(typed, parsed, strict=True)
        if not override.is_interval_sweep()
    ]


def keys_of_folders(stage: str, keys: Sequence[str], run: str | None) -> list[str]:
    """Return the keys by which the jobs of a stage have folders of their own.

    A stage that begins a run has them, and `pipeline`; others where the run holds no model itself,
    as a sweep's does not. What writes nothing into the run but samples else shares it.

    Arguments:
        stage: Its name.
        keys: From `swept_keys`.
        run: The run folder that all jobs share.

    Errors:
        ValueError: Another stage, where the run itself holds the model.

    Example:
        >>> keys_of_folders("evaluate", ["seed"], "no/such/run")
        ['seed']
    """
    if not keys or stage in (*BEGINS, "pipeline") or not run:
        return list(keys)
    root = Path(run).expanduser()
    held = [folder for folder in (root, root / "teacher", root / "student") if _is_model(folder)]
    if not held:
        return list(keys)
    if stage in _OUTSIDE:
        return []
    raise ValueError(
        f"{', '.join(keys)}: several values, and {stage} wants a run for each, but {root} is one, "
        f"with a {'model' if held[-1] == root else held[-1].name}. Begin a run for each by "
        "`pipeline -m`, or go through runs that are there, as in -m run=A,B."
    )


def check_outputs(stage: str, typed: Sequence[str], folders: Sequence[str]) -> None:
    """Raise where several jobs of a sweep would write one file.

    Arguments:
        stage: Its name.
        typed: Overrides of the command line.
        folders: Keys by which jobs have folders of their own, beside those that the run's names.

    Errors:
        ValueError: A key is swept over that the place does not name.

    Example:
        >>> check_outputs("sample", ["seed=0,1", "output='x-${seed}.npy'"], [])
        >>> check_outputs("sample", ["seed=0,1"], [])
        Traceback (most recent call last):
        ValueError: seed: several values, and what each of them gives would go to one place...
    """
    parsed = OverridesParser.create().parse_overrides(list(typed))
    places = [override for override in parsed if override.key_or_group in _PLACES.get(stage, ())]
    swept = dict.fromkeys(config_path_of(o) for o in parsed if o.is_sweep_override())
    shared: list[str] = []
    for place in places:
        values = _values(place)
        named = {place.key_or_group, *_REFERENCE.findall(" ".join(values))}
        if not any(Path(value).suffix for value in values):  # a folder: a sound goes by its name
            named.add("input")
        if not (set(values) <= set(_NO_FILES) or any(map(_JOB.search, values))):
            shared += [key for key in swept if key not in named]
    if stage == "sample" and not places:
        by_itself = {"model", "input", *folders}
        shared = [key for key in swept_keys(typed) if key not in by_itself]
    if shared:
        key, where = shared[0], places[0].key_or_group if places else "output"
        raise ValueError(
            f"{key}: several values, and what each of them gives would go to one place, where the "
            f"last would stay. Name a place for each by a {where}= that holds ${{{key}}}."
        )


def _is_model(folder: Path) -> bool:
    return (folder / "checkpoint.pt").is_file()


def job_folder(run: str | None, keys: Sequence[str], overrides: Sequence[str]) -> str:
    """Return the run folder of one job of a sweep, below the run's.

    Arguments:
        run: The run folder that all jobs share.
        keys: From `swept_keys`.
        overrides: Of this job.

    Errors:
        ValueError: There is no such folder.

    Example:
        >>> job_folder("runs/moons", ["seed", "student.layers"], ["seed=1", "student.layers=3"])
        'runs/moons/seed-1_student.layers-3'
    """
    if run is None or not run.strip():
        raise ValueError("run: wanted a folder, got none. Name one, as in run=runs/mine.")
    values = {}
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        value = override.value()
        plain = value if isinstance(value, str) else (override.input_line or "").partition("=")[2]
        values[config_path_of(override)] = plain
    parts = [f"{key}-{values[key]}" for key in keys if key in values]
    text = "_".join(parts)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    if plain != text or len(plain) > _LONGEST:
        plain = f"{plain[:_LONGEST]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    return f"{run}/{plain}" if plain else run
