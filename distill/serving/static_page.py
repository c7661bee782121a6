"""The page without a server: a folder that any static host serves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill._version import __version__
from distill.files import read_text, write_json
from distill.serving.examples import Example
from distill.serving.runtime import VERSION, check_npm, fetch_runtime

HERE = Path(__file__).parent
OWN = HERE / "browser"
SHARED = ("cards.js", "draw.js", "fft.js", "fields.js", "icon.svg", "style.css")
"""Files that the server's page has too."""
NAMES = {"full": "full precision", "int8": "8 bits"}
ABOUT = "page.json"


def write_page(
    folder: Path, models: Sequence[Path], examples: Sequence[Example], fetch: bool = True
) -> None:
    """Write the page of a student: its scripts, ONNX files, runtime, and recordings to try.

    The folder is replaced by the new one when that is whole.

    Arguments:
        folder: Where it goes.
        models: ONNX files, the one to begin with first; beside each lies its `.json`.
        examples: Clips whose reference goes along.
        fetch: Get the runtime with npm; tests of the scripts alone need none.

    Errors:
        FileExistsError: The folder is there and is no such page.
        ValueError: What `fetch_runtime` refuses.
    """
    check_page(folder)
    draft = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        write_scripts(draft)
        if fetch:
            (draft / "ort").mkdir()
            fetch_runtime(draft / "ort")
        for path in models:
            shutil.copyfile(path, draft / path.name)
            shutil.copyfile(f"{path}.json", draft / f"{path.name}.json")
        write_json(draft / ABOUT, _about(models, _copied(examples, draft)))
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_scripts(folder: Path) -> None:
    """Copy the page's own files, and those it shares, into a new folder."""
    shutil.copytree(OWN, folder)
    for name in SHARED:
        shutil.copyfile(HERE / "page" / name, folder / name)


def check_page(folder: Path, npm: bool = False) -> None:
    """Raise if a page can't be written to a folder.

    Errors:
        FileExistsError: It is there and is no such page.
        ValueError: npm is wanted and missing.
    """
    if folder.exists() and weights_of_page(folder) is None:
        raise FileExistsError(f"{folder}: is there and is no page of a student. Move it away.")
    if npm:
        check_npm()


def weights_of_page(folder: Path) -> str | None:
    """Return the hash of the weights that a page speaks with; `None` where there is no page."""
    try:
        return str(json.loads(read_text(folder / ABOUT))["weights"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _about(models: Sequence[Path], examples: list[dict[str, str]]) -> dict[str, Any]:
    beside = [json.loads(Path(f"{path}.json").read_text(encoding="utf-8")) for path in models]
    return {
        "models": [
            {"name": NAMES[about["precision"]], "file": path.name}
            for path, about in zip(models, beside, strict=True)
        ],
        "examples": examples,
        "weights": beside[0]["weights"],
        "package": __version__,
        "onnxruntime_web": VERSION,
    }


def _copied(examples: Sequence[Example], folder: Path) -> list[dict[str, str]]:
    copied = []
    for number, example in enumerate(examples):
        if "reference" in example.sounds:
            (folder / "examples").mkdir(exist_ok=True)
            name = f"examples/{number}.wav"
            shutil.copyfile(example.sounds["reference"], folder / name)
            copied.append({"name": example.name, "file": name})
    return copied
