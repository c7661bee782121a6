"""Draw from RUN's student (or teacher): values into a table, sounds into a folder.

A model of sound copies what `input` names, file by file: audio that it has never seen, or mels
(.npy, .pt). Without an input it draws freely, where it needs no features. What is sequential is
drawn site after site, or with sampler=jacobi by rounds of all sites at once (sampler.window=,
sampler.tolerance=). A manifest beside what is written (in a folder of sounds, or
FILE.manifest.json) says what each was made from, by hash.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from distill.bijectors import Jacobi
from distill.checks import check_seed
from distill.evaluation.placing import move, place_of
from distill.files import FullDiskError, second_name, sha256_of
from distill.instantiate import build
from distill.models.in_rounds import Rounds
from distill.progress import say, tracked
from distill.stages.differences import config_of, fingerprint
from distill.stages.folders import (
    MODELS,
    device_of,
    root_of,
    saved_model,
    weights_of,
)
from distill.stages.links import check_inside
from distill.stages.manifest import COMPLETE, Manifest, read_manifest
from distill.stages.sampling.outputs import Output, output_for
from distill.stages.sampling.requests import requests_of
from distill.stages.typed_overrides import is_typed
from distill.stages.work import alone_at


def _check_apart(given: str | None, files: Sequence[Path]) -> None:
    """Raise if a result would replace what it is copied from."""
    source = None if given is None else Path(str(given)).expanduser()
    if source is None or not source.exists():
        return
    for file in files:
        inside = source.is_dir() and source.resolve() in file.resolve().parents
        if file.exists() and (inside or file.samefile(source)):
            raise ValueError(
                f"output: {file} lies in the input {source}, which would be lost. Name another "
                "output=."
            )


def _sampler(config: DictConfig) -> Jacobi | None:
    """Return how to draw by rounds, `None` for site after site."""
    sampler = build(config.sampler) if config.get("sampler") else None
    if sampler is not None and not isinstance(sampler, Jacobi):
        raise ValueError(
            f"sampler: wanted a Jacobi, got {type(sampler).__name__}. Choose sampler=jacobi, or "
            "leave it out."
        )
    return sampler


def _role(config: DictConfig) -> str:
    """Return which model draws: the one whose folder `run` names, or else `model`."""
    named = Path(config.run or "").expanduser()
    role = config.model if named == root_of(config) else named.name
    if config.model not in MODELS:
        raise ValueError(f"model: wanted teacher or student, got {config.model!r}.")
    if role != config.model and is_typed("model"):
        raise ValueError(
            f"model={config.model}: run={named} names the {role}. Leave out model=, or name the "
            f"run with run={named.parent}."
        )
    return role


def run(config: DictConfig) -> dict[str, float]:
    """Draw what the config asks for, into `output` or RUN/sample/.

    Errors:
        FileExistsError: An output exists and `overwrite` is not set.
        ValueError: An output of the wrong kind, or an input that the model can't read.
    """
    role = _role(config)
    check_seed(config.seed)
    jacobi = _sampler(config)
    saved = saved_model(config, role)
    model = saved.model(config.trusted).to(device_of(config))
    if config.output is None:
        check_inside(root_of(config) / "sample")
    output = output_for(model.spec, config.output, root_of(config) / "sample", role)
    requests = requests_of(config, model.spec, role)
    check_seed(config.seed + len(requests) - 1)  # of the last one
    names = [request.name for request in requests]
    _check_apart(config.input, output.files(names))
    output.claim(names, config.overwrite)
    inputs = {r.name: sha256_of(r.path) for r in requests if r.path is not None}
    made_from = {role: weights_of(saved), "input": fingerprint(inputs) if inputs else None}
    draw = model.sample if jacobi is None else partial(model.sample_in_rounds, jacobi=jacobi)
    count = sites = rounds = 0
    seconds = 0.0
    mine = {**config_of(config, "sample", saved.config), "model": role}
    with alone_at(output.record), _recorded(output, names, mine, made_from) as made:
        output.claim(names, config.overwrite)  # as another process may have written meanwhile
        for number, request in enumerate(tracked(requests, "sample", unit="files")):
            began = time.monotonic()
            drawn = draw(
                request.count,
                move(request.features, *place_of(model)),
                sites=request.sites,
                seed=config.seed + number,
                temperature=config.temperature,
            )
            if isinstance(drawn, Rounds):
                rounds += drawn.taken
                say(f"{request.name}: {drawn}", None if drawn.converged else sys.stderr)
                drawn = drawn.x
            x = drawn.cpu()
            seconds += time.monotonic() - began
            count, sites = count + len(x), sites + x.numel()
            file = output.write(request.name, x)
            made[output.key(file)] = {
                role: made_from[role],
                "input": inputs.get(request.name),
                "seed": config.seed + number,
                "temperature": config.temperature,
                "sampler": repr(jacobi) if jacobi else None,
                "count": len(x),
                "sha256": sha256_of(file),
            }
            say(f"{file}: {len(x)} x {x.shape[1]} sites")
    numbers = {"count": float(count), "seconds": seconds}
    if jacobi is not None:
        numbers["rounds"] = float(rounds)
    if model.spec.sample_rate is not None:
        sound = sites / model.spec.sample_rate
        numbers["real_time_factor"] = sound / max(seconds, 1e-9)
        print(f"{sound:.1f} s of sound in {seconds:.1f} s: {sound / seconds:.2f} x real time")
    return numbers


@contextmanager
def _recorded(
    output: Output,
    names: Sequence[str],
    config: Mapping[str, Any],
    made_from: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Record what files are made from, beside those that earlier calls left there.

    A killed call leaves no word about the files that it was to write: they may be old or new.
    """
    folder, name = output.record.parent, output.record.name
    old = read_manifest(folder, name)
    record = Manifest.begin("sample", config, made_from)
    kept = old.made.items() if old else ()
    before = {file: entry for file, entry in kept if (folder / file).is_file()}
    wanted = {output.key(file) for file in output.files(names)}
    record.made = {file: entry for file, entry in before.items() if file not in wanted}
    made: dict[str, Any] = {}
    with second_name(output.record) as second:
        record.write(folder, name)
        try:
            with record.ending():
                yield made
        finally:
            record.made = before | made
            if second is not None and record.state != COMPLETE and not made:
                second.replace(output.record)
            else:
                # What filled the disk is to be told, and not that this fails as well.
                with nullcontext() if record.state == COMPLETE else suppress(FullDiskError):
                    record.write(folder, name)
