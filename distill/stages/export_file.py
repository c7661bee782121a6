"""Which export a stage loads, whether of the present student, and which clips a page shows."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from distill.export import Exported, load
from distill.models.checkpoint import NAME
from distill.serving.examples import Example, find_examples
from distill.stages.folders import root_of, saved_model, weights_of


def exported_of(config: DictConfig) -> Exported:
    """Load `file`, or without one RUN/export/student.onnx.

    Errors:
        FileNotFoundError: There is no such file, with the command that writes it.
        ValueError: What is there is no exported sampler, or is of another student than the run's.
    """
    if config.file is not None:
        return load(Path(config.file).expanduser())
    root = root_of(config)
    path = root / "export" / "student.onnx"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no export there. Run `distill export run={root}` first, or name a file with "
            "file=."
        )
    exported = load(path)
    if (root / "student" / NAME).is_file():
        check_current(exported, weights_of(saved_model(config, "student")), root)
    return exported


def check_current(exported: Exported, weights: str, root: Path) -> None:
    """Raise unless an exported file is of a run's student as it is now.

    Errors:
        ValueError: It is of other weights.
    """
    if exported.metadata.weights != weights:
        raise ValueError(
            f"{exported.path}: is of another student than {root / 'student'} holds now. Export it "
            f"again with `distill export run={root} overwrite=true`, or name a file with file= to "
            "use it as it is."
        )


def examples_of(config: DictConfig) -> list[Example]:
    """Return the clips for a page: those of `examples`, or what `distill evaluate` left in the run.

    Errors:
        FileNotFoundError: There is no such folder.
        ValueError: It holds none.
    """
    if config.examples is False:
        return []
    if config.examples is not None:
        return find_examples(config.examples)
    left = root_of(config) / "evaluate" / "audio"
    return find_examples(left) if config.get("file") is None and left.is_dir() else []
