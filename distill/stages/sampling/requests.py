"""What `distill sample` is asked to draw: values of a fixed length, sounds, or copies of inputs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from distill.checks import check_number
from distill.contract import DataSpec, Features
from distill.data.array import check_finite
from distill.data.table import Table, read_table
from distill.labels import label_index
from distill.stages.typed_overrides import is_typed

_VALUES = 10_000


@dataclass(frozen=True)
class SampleRequest:
    """One call of `model.sample`.

    Arguments:
        name: What to call the result.
        count: Number of values.
        features: For as many rows.
        sites: Length of each, `None` where the model fixes it.
        path: The file that the features came from.
    """

    name: str
    count: int
    features: Features = None
    sites: int | None = None
    path: Path | None = None


def requests_of(config: DictConfig, spec: DataSpec, role: str) -> list[SampleRequest]:
    """Turn `input`, `count`, `seconds`, `speaker` and `label` into calls.

    Arguments:
        config: Of the stage.
        spec: What the model knows of its data.
        role: Names what has no input.

    Errors:
        ValueError: A model of features without an input; a label that it lacks; numbers out of
            range, or that the input or the model settles; what `read_inputs` raises.
    """
    _check(config, spec)
    _check_used(config, spec)
    if config.input is not None and spec.sites is not None:
        return [_conditions(config, spec, role)]
    if config.input is not None:
        # Here, since reading audio loads librosa.
        from distill.data.audio import read_inputs

        inputs = read_inputs(config.input, spec, config.speaker, config.label)
        return [
            SampleRequest(
                given.name, 1, given.features, _frames(given.features, spec) * spec.hop, given.path
            )
            for given in inputs
        ]
    needed = [name for name, f in spec.features.items() if f.kind != "label"]
    if needed:
        raise ValueError(
            f"input: the model draws from {', '.join(needed)}, so it wants to be given that. Name "
            "a file with input=: sounds or mels to copy, or a table of conditions, a row a sample."
        )
    if spec.sites is not None:
        count = _VALUES if config.count is None else config.count
        return [SampleRequest(role, count, _labels(config, spec, count))]
    assert spec.sample_rate is not None
    count = 1 if config.count is None else config.count
    sites = max(1, round(config.seconds * spec.sample_rate / spec.hop)) * spec.hop
    features = _labels(config, spec, 1)
    names = [role] if count == 1 else [f"{role}_{i}" for i in range(count)]
    return [SampleRequest(name, 1, features, sites) for name in names]


def _check(config: DictConfig, spec: DataSpec) -> None:
    """Raise unless the numbers make sense and what they ask for fits into memory."""
    check_number("temperature", config.temperature, low=0)
    check_number("seconds", config.seconds, above=0)
    if config.count is None:
        return
    check_number("count", config.count, low=1, whole=True)
    sites = spec.sites or round(config.seconds * (spec.sample_rate or 1))
    size, held = 4 * config.count * sites, _memory()
    if config.input is None and size > held:
        raise ValueError(
            f"count: {config.count} values of {sites} sites take {size / 1e9:,.0f} GB, and this "
            f"machine has {held / 1e9:,.0f} GB of memory. Draw fewer at a time."
        )


def _check_used(config: DictConfig, spec: DataSpec) -> None:
    """Raise if something is asked for that would change nothing."""
    for name in ("speaker", "label"):
        feature = spec.features.get(name)
        if config[name] is not None and (feature is None or feature.kind != "label"):
            raise ValueError(f"{name}: this model takes none; leave it out.")
    if config.input is not None:
        settled = "the input says how many values are drawn, and how long they are"
    elif spec.sites is not None:
        settled = f"each value of this model has {spec.sites} sites"
    else:
        return
    for name in ("count", "seconds") if config.input is not None else ("seconds",):
        if is_typed(name):
            raise ValueError(f"{name}: {settled}; leave it out.")


def _memory() -> float:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 2.0**36


def _conditions(config: DictConfig, spec: DataSpec, role: str) -> SampleRequest:
    """Read the conditions of a vector model: a table with one row for each value to draw."""
    vectors = {name: f.size for name, f in spec.features.items() if f.kind == "vector"}
    table = read_table(config.input)
    wanted, got = sum(vectors.values()), table.values.shape[1]
    if not vectors or wanted != got:
        raise ValueError(
            f"{config.input}: the model wants {wanted} condition columns "
            f"({', '.join(vectors) or 'none'}), got {got}. Give a table of just these."
        )
    check_finite(str(config.input), "the conditions", table.values)
    order = _order(config.input, table, spec.settings.get("conditions"))
    values = torch.tensor(table.values[:, order], dtype=torch.get_default_dtype())
    features = dict(zip(vectors, values.split(list(vectors.values()), 1), strict=True))
    features |= _labels(config, spec, len(values)) or {}
    return SampleRequest(role, len(values), features, path=Path(config.input).expanduser())


def _order(path: str, table: Table, wanted: list[str] | None) -> list[int]:
    """Return the places of a table's columns in the order of the model: by name, if it has any."""
    if not table.names or not wanted:
        return list(range(table.values.shape[1]))
    if set(table.names) != set(wanted):
        raise ValueError(
            f"{path}: wanted the condition columns {', '.join(wanted)}, got "
            f"{', '.join(table.names)}. Name them so, or leave the header out."
        )
    return [table.names.index(name) for name in wanted]


def _frames(features: Features, spec: DataSpec) -> int:
    assert features is not None
    return next(features[name].shape[1] for name, f in spec.features.items() if f.kind == "frames")


def _labels(config: DictConfig, spec: DataSpec, count: int) -> dict[str, Tensor] | None:
    found = {}
    for name in (name for name, f in spec.features.items() if f.kind == "label"):
        found[name] = torch.full((count,), label_index(spec, name, config.get(name)))
    return found or None
