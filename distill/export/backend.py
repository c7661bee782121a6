"""The contract of an export backend."""

from __future__ import annotations

import json
from pathlib import Path

from distill.export.exported import Exported
from distill.export.verify import Verification, verify
from distill.models import Flow


class Backend:
    """A file format for the sampling direction of a flow.

    `write` traces a model into one file that carries its metadata; `load` reads it back. Both sides
    share one graph, `(noise, features) -> (x, log_prob)`, and one loaded object, `Exported`.

    Attributes:
        name: Of the format, in reports.
        suffix: Of its files.
    """

    name: str
    suffix: str

    def write(self, model: Flow, path: str | Path) -> Path:
        """Write a model's sampler; an existing file is replaced whole or not at all."""
        raise NotImplementedError(f"{type(self).__name__} does not define write.")

    def load(self, path: str | Path) -> Exported:
        """Read a sampler.

        Errors:
            ValueError: A truncated, renamed or foreign file, or one from an incompatible version.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define load.")


def accept(
    backend: Backend, model: Flow, folder: str | Path, tolerance: float = 1e-6
) -> tuple[Path, Verification]:
    """Write a model, load it again, and keep the file only if it computes what the model does.

    The report lies beside it, `student.onnx.json` for `student.onnx`.

    Arguments:
        backend: The format.
        model: The student.
        folder: Where the file goes, under the name `student` and the backend's suffix.
        tolerance: See `verify`.

    Errors:
        ExportMismatch: The file differs from the model; it is removed.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"student{backend.suffix}"
    draft = backend.write(model, folder / f"unverified{backend.suffix}")
    try:
        report = verify(backend.load(draft), model, backend.name, tolerance=tolerance)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    path.with_name(f"{path.name}.json").write_text(json.dumps(report.to_dict(), indent=2) + "\n")
    return path, report
