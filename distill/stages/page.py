"""The page that export writes beside the files: a student in a visitor's browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig

from distill.export import Backend
from distill.frames import FrameLayout
from distill.models import Flow
from distill.serving.static_page import check_page, weights_of_page, write_page
from distill.stages.export_file import examples_of

FOLDER = "page"
_SUFFIX = ".onnx"


def check_wanted(
    config: DictConfig, folder: Path, backends: Iterable[Backend], student: Flow, weights: str
) -> None:
    """Raise before anything is exported, where the page could not be written.

    Errors:
        FileExistsError: Something else stands in its place.
        ValueError: No ONNX file is exported, npm is missing, or the student makes no sound of
            frames.
    """
    if not config.page:
        return
    if not any(backend.suffix.endswith(_SUFFIX) for backend in backends):
        raise ValueError(
            "page=true wanted an ONNX file, and none is exported. Add "
            "+export@exports.onnx=onnx, or leave out page=true."
        )
    FrameLayout(student.spec)
    examples_of(config, weights)
    check_page(folder / FOLDER, npm=True)


def write(config: DictConfig, folder: Path, files: Iterable[str], weights: str) -> None:
    """Write the page where it is wanted, and remove one of another student.

    Arguments:
        config: `page` and `examples`.
        folder: Of the exported files.
        files: Names of those that are of this student.
        weights: Their hash.
    """
    page = folder / FOLDER
    if config.page:
        models = sorted(name for name in files if name.endswith(_SUFFIX))
        # The plain file before those of reduced precision, whose names have more parts.
        models.sort(key=lambda name: name.count("."))
        examples = examples_of(config, weights)
        write_page(page, [folder / name for name in models], examples)
        clips = f", with {len(examples)} recordings to try" if examples else ""
        print(f"{page}: the student in a browser{clips}; any static host serves it")
    elif page.is_dir() and weights_of_page(page) not in (None, weights):
        print(f"{page}: of another student, removed")
        shutil.rmtree(page)
