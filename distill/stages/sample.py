"""Draw from RUN's student (or teacher): values into a table, sounds into a folder.

A model of sound copies what `input` names, file by file: audio that it has never seen, or mels
(.npy, .pt). Without an input it draws freely, where it needs no features. What is sequential is
drawn site after site, or with sampler=jacobi by rounds of all sites at once (sampler.window=,
sampler.tolerance=).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from distill.bijectors import Jacobi
from distill.configure import build
from distill.evaluation.placing import move, place_of
from distill.models.in_rounds import Rounds
from distill.stages.folders import MODELS, check_seed, device_of, root_of, saved_model
from distill.stages.outputs import output_for
from distill.stages.requests import requests_of


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


def run(config: DictConfig) -> dict[str, float]:
    """Draw what the config asks for, into `output` or RUN/sample/.

    Errors:
        FileExistsError: An output exists and `overwrite` is not set.
        ValueError: An output of the wrong kind, or an input that the model can't read.
    """
    role = Path(config.run).name if Path(config.run).name in MODELS else config.model
    if role not in MODELS:
        raise ValueError(f"model: wanted teacher or student, got {role!r}.")
    check_seed(config.seed)
    jacobi = _sampler(config)
    model = saved_model(config, role).model(config.trusted).to(device_of(config))
    output = output_for(model.spec, config.output, root_of(config) / "sample", role)
    requests = requests_of(config, model.spec, role)
    names = [request.name for request in requests]
    _check_apart(config.input, output.files(names))
    output.claim(names, config.overwrite)
    count = sites = rounds = 0
    seconds = 0.0
    for number, request in enumerate(requests):
        began = time.monotonic()
        draw = model.sample if jacobi is None else partial(model.sample_in_rounds, jacobi=jacobi)
        drawn = draw(
            request.count,
            move(request.features, *place_of(model)),
            sites=request.sites,
            seed=config.seed + number,
            temperature=config.temperature,
        )
        if isinstance(drawn, Rounds):
            rounds += drawn.taken
            print(f"{request.name}: {drawn}", file=None if drawn.converged else sys.stderr)
            drawn = drawn.x
        x = drawn.cpu()
        seconds += time.monotonic() - began
        count, sites = count + len(x), sites + x.numel()
        print(f"{output.write(request.name, x)}: {len(x)} x {x.shape[1]} sites")
    numbers = {"count": float(count), "seconds": seconds}
    if jacobi is not None:
        numbers["rounds"] = float(rounds)
    if model.spec.sample_rate is not None:
        sound = sites / model.spec.sample_rate
        numbers["real_time_factor"] = sound / max(seconds, 1e-9)
        print(f"{sound:.1f} s of sound in {seconds:.1f} s: {sound / seconds:.2f} x real time")
    return numbers
