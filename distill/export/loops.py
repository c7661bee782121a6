"""Compiled loops: weights alone in the file, run by this package's own kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from distill.bijectors import State
from distill.export.backend import Backend
from distill.export.exported import Exported
from distill.export.graph import check_names, check_parallel
from distill.export.metadata import config_digest, describe, foreign
from distill.models import Flow
from distill.models.checkpoint import Checkpoint, read_checkpoint
from distill.models.recipe import recipe_of

if TYPE_CHECKING:
    from distill.export.loops_chunk import Chunk

_ROLE = "sampler"


class Loops(Backend):
    """Write and read students for compiled loops: the fastest way through small chunks.

    A graph spends a chunk of 20 ms on starting a thousand small operations. Here an encoder, each
    flow and the filter are one compiled function each, which numba compiles for the machine that it
    runs on, once (half a minute), and keeps. The file holds weights and how the student was built,
    and no code; loading it takes this package and numba.

    It takes students of `wavenet_iaf` in float32, without features or with an encoder of
    `mode=repeat`; others are left to graphs.

    Arguments:
        threads: Threads that rows of a batch are shared over; as many as torch uses by default.

    Errors:
        ValueError: Another student, or no numba; when loading, a file that is no such student.
    """

    name = "loops"
    suffix = ".loops.pt"

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    def write(self, model: Flow, path: str | Path, config: Mapping[str, Any] | None = None) -> Path:
        """Write the weights and how the model was built."""
        _take(model)
        path, made_from = Path(path), {} if config is None else {"config": dict(config)}
        node = dict(config) if config and "_target_" in config else recipe_of(model)
        weights = {key: value.detach().cpu() for key, value in model.state_dict().items()}
        checkpoint = Checkpoint(_ROLE, {_ROLE: node}, model.spec, weights, made_from=made_from)
        checkpoint.save(path.parent, path.name)
        return path

    def load(self, path: str | Path) -> Exported:
        """Read a file that `write` wrote."""
        try:
            checkpoint = read_checkpoint(path)
        except ValueError as error:
            raise foreign(path, "it is cut short, damaged, or no file of weights") from error
        model = checkpoint.model() if checkpoint.role == _ROLE else None
        if not isinstance(model, Flow):
            raise foreign(path, f"it holds a {checkpoint.role}")
        config = checkpoint.made_from.get("config")
        return self.of(model, path, config if isinstance(config, dict) else None)

    def of(
        self, model: Flow, path: str | Path = "loops", config: dict[str, Any] | None = None
    ) -> Exported:
        """Return a model's sampler without a file.

        Arguments:
            model: The student; its weights are copied.
            path: What errors call it.
            config: For its metadata.
        """
        chunk = _take(model)
        metadata = replace(
            chunk.metadata,
            config=config,
            config_hash=None if config is None else config_digest(config),
        )
        return Exported(metadata, _Rows(chunk, self.threads), path)


def _take(model: Flow) -> Chunk:
    check_parallel(model)
    check_names(model.spec.features)
    if find_spec("numba") is None:
        raise ValueError(
            "export=loops: wanted numba, found none. Install it, or export to onnx, which needs "
            "none."
        )
    # Imported here: numba costs half a second, and only this needs it.
    from distill.export.loops_arrays import sampler_of
    from distill.export.loops_chunk import Chunk

    return Chunk(sampler_of(model), describe(model))


class _Rows:
    """The function of `Exported`: each row of a batch by itself.

    Arguments:
        chunk: What computes one.
        threads: That they are shared over; as many as torch uses where it is `None`.
    """

    def __init__(self, chunk: Chunk, threads: int | None) -> None:
        self.chunk, self.threads = chunk, threads

    def __call__(
        self, noise: Tensor, features: dict[str, Tensor], state: State
    ) -> tuple[Tensor, Tensor, State]:
        """Return samples, log-prob and the next state."""
        u, after = noise.numpy(), [value.numpy().copy() for value in state]
        given = {name: value.numpy() for name, value in features.items()}
        x, log_prob = np.empty_like(u), np.empty_like(u)

        def one(b: int) -> None:
            own = {name: value[b] for name, value in given.items()}
            x[b], log_prob[b] = self.chunk(u[b], own, [value[b] for value in after])

        self._each(one, len(u))
        return torch.from_numpy(x), torch.from_numpy(log_prob), tuple(map(torch.from_numpy, after))

    def _each(self, one: Callable[[int], None], count: int) -> None:
        from distill.kernels.blas import alone, alone_here

        threads = min(self.threads or torch.get_num_threads(), count)
        if threads <= 1:
            with alone_here():
                for b in range(count):
                    one(b)
            return
        with ThreadPoolExecutor(threads, initializer=alone) as pool:
            list(pool.map(one, range(count)))
