"""The contract of an export backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from distill.export.exported import Exported
from distill.export.graph import SamplingGraph, check_parallel
from distill.export.lean import make_lean
from distill.export.metadata import config_digest
from distill.export.sidecar import sidecar
from distill.export.verify import Limit, Verification, verify
from distill.files import atomic_write, write_json
from distill.models import Flow


class Backend:
    """A file format for the sampling direction of a flow.

    `write` traces a model into one file that carries its metadata; `load` reads it back. Both sides
    share one graph, `(noise, features, state) -> (x, log_prob, new_state)`, and one loaded object,
    `Exported`.

    Attributes:
        name: Of the format, in reports.
        suffix: Of its files, with what tells it from other formats: `.int8.onnx`.
        limit: How far its files may be from the model.
    """

    name: str
    suffix: str
    limit: Limit = Limit()

    def write(self, model: Flow, path: str | Path, config: Mapping[str, Any] | None = None) -> Path:
        """Write a model's sampler; an existing file is replaced whole or not at all.

        Arguments:
            model: The student.
            path: The file.
            config: What the model is built from, for the file's metadata.
        """
        graph = SamplingGraph(model)
        if config is not None:
            plain = dict(config)
            graph.metadata = replace(graph.metadata, config=plain, config_hash=config_digest(plain))
        if graph.metadata.streams:  # others run no chunks
            make_lean(graph.model)
        path = Path(path)
        with atomic_write(path) as draft:
            self.save(graph, draft)
        return path

    def save(self, graph: SamplingGraph, path: Path) -> None:
        """Write a graph and its metadata to a file."""
        raise NotImplementedError(f"{type(self).__name__} does not define save.")

    def load(self, path: str | Path) -> Exported:
        """Read a sampler.

        Errors:
            ValueError: A truncated, renamed or foreign file, or one from an incompatible version.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define load.")


def accept(
    backend: Backend,
    model: Flow,
    folder: str | Path,
    limit: Limit | None = None,
    config: Mapping[str, Any] | None = None,
) -> tuple[Path, Verification]:
    """Write a model, load it again, and keep the file only if it computes what the model does.

    Beside it lies what a loader in any language needs, and the report: `student.onnx.json` for
    `student.onnx`, see `sidecar`.

    Arguments:
        backend: The format.
        model: The student.
        folder: Where the file goes, under the name `student` and the backend's suffix.
        limit: See `verify`; the backend's own by default.
        config: What the model is built from, for the file's metadata.

    Errors:
        ExportMismatch: The file differs from the model; it is removed.
    """
    check_parallel(model)  # before a folder is made
    path = Path(folder) / f"student{backend.suffix}"
    with atomic_write(path) as draft:
        backend.write(model, draft, config)
        exported = backend.load(draft)
        report = verify(exported, model, backend.name, limit=limit or backend.limit)
    beside = sidecar(path.name, exported.metadata, report)
    write_json(path.with_name(f"{path.name}.json"), beside)
    return path, report
