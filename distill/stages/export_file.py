"""Which export a stage loads, whether of the present student, and which clips a page shows."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from distill.export import Exported, Loops, load
from distill.models.checkpoint import NAME, read_checkpoint
from distill.serving.examples import Example, find_examples
from distill.serving.voice import Voice, check_names
from distill.stages.folders import root_of, saved_in, weights_of
from distill.stages.links import leads_out
from distill.stages.manifest import COMPLETE, read_manifest


def exported_of(config: DictConfig) -> Exported:
    """Load `file`, or without one RUN/export/student.loops.pt, or else student.onnx.

    Errors:
        FileNotFoundError: There is no such file, with the command that writes it.
        ValueError: What is there is no exported sampler, or is of another student than the run's.
    """
    if config.file is not None:
        return _loaded(Path(config.file).expanduser())
    return _exported_in(root_of(config))


def _loaded(path: Path) -> Exported:
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: there is none. Name a file that `distill export` wrote; for a voice, a run's "
            "folder does too."
        )
    exported = load(path)
    if path.parent.name == "export":
        note_stale(path.parent.parent, exported)
    return exported


def _exported_in(root: Path) -> Exported:
    path = root / "export" / f"student{Loops.suffix}"  # the fastest, where it was asked for
    if not path.is_file():
        path = root / "export" / "student.onnx"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no export there. Run `distill export run={root}` first, or name a file with "
            "file=."
        )
    exported = load(path)
    if (root / "student" / NAME).is_file():
        check_current(exported, weights_of(saved_in(root, "student")), root)
    return exported


def voices_of(config: DictConfig) -> dict[str, Voice]:
    """Load every file and run that `voices` names, or the one of `file` or `run`, with their clips.

    Errors:
        FileNotFoundError: There is no such file, or folder of clips.
        ValueError: Names that do not do; a voice beside `file`; what `exported_of` refuses.
    """
    if config.voices is None:
        exported = exported_of(config)
        place = root_of(config) if config.file is None else exported.path
        return {_name(place): _voice(exported, config.examples, place)}
    if config.file is not None:
        raise ValueError("voices: names every voice; leave out file=, or give it a name there.")
    places = _places(config.voices)
    check_names(places)
    return {
        name: _voice(
            _exported_in(place) if place.is_dir() else _loaded(place), config.examples, place
        )
        for name, place in places.items()
    }


def _voice(exported: Exported, examples: Any, place: Path) -> Voice:
    return Voice(exported, tuple(_clips(examples, place, exported.metadata.weights)))


def _places(voices: Any) -> dict[str, Path]:
    if not isinstance(voices, DictConfig):
        raise ValueError(
            f"voices: wanted files or runs by name, as in voices={{anna: a.onnx}}, got {voices!r}."
        )
    named = {str(name): place for name, place in voices.items()}
    for name, place in named.items():
        if not isinstance(place, str) or not place.strip():
            raise ValueError(f"voices.{name}: wanted a file or a run's folder, got {place!r}.")
    return {name: Path(place).expanduser() for name, place in named.items()}


def _name(place: Path) -> str:
    """Return what a voice is called that has no name: by its run, or by its file."""
    return re.sub(r"[^\w.-]+", "-", place.resolve().name.partition(".")[0]) or "student"


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


def note_stale(root: Path, *given: Exported) -> None:
    """Say so on stderr if a run's exported files are of another student than it holds now.

    Arguments:
        root: The run folder.
        given: Files that were read; what RUN/export's record says of them where there are none.
    """
    if not (root / "student" / NAME).is_file():
        return
    now = weights_of(read_checkpoint(root / "student"))
    record = read_manifest(root / "export")
    made = [entry for entry in record.made.values() if isinstance(entry, dict)] if record else []
    found = {exported.path.name: exported.metadata.weights for exported in given} or {
        str(entry.get("file")): str(entry.get("weights")) for entry in made
    }
    stale = sorted(name for name, weights in found.items() if weights != now)
    if stale:
        print(
            f"note: {root / 'export'} is of another student than {root / 'student'} holds now "
            f"({', '.join(stale)}). `distill export run={root} overwrite=true` exports this one.",
            file=sys.stderr,
            flush=True,
        )


def examples_of(config: DictConfig, weights: str) -> list[Example]:
    """Return the clips for a page: those of `examples`, or what `distill evaluate` left in the run.

    Arguments:
        config: `examples` and `run`.
        weights: Hash of the student that speaks; clips of another one are left out, with a note.

    Errors:
        FileNotFoundError: There is no such folder.
        ValueError: It holds none; one in the run is a link to something else.
    """
    return _clips(config.examples, root_of(config), weights)


def _clips(examples: Any, place: Path, weights: str) -> list[Example]:
    if examples is False:
        return []
    if examples is not None:
        return find_examples(examples)
    left = place / "evaluate" / "audio"
    if not any(left.rglob("*.wav")):
        return []
    record = read_manifest(place / "evaluate")
    of = record.made_from.get("student") if record and record.state == COMPLETE else None
    if of != weights:
        print(
            f"note: {left}: the clips are not of a finished evaluation of this student, so they "
            f"are left out. `distill evaluate run={place} overwrite=true` makes new ones.",
            file=sys.stderr,
            flush=True,
        )
        return []
    found = find_examples(left)
    for path in (path for example in found for path in example.sounds.values()):
        if leads_out(path, place):  # it could be any file of the user's
            raise ValueError(
                f"{path}: is a link out of the run, and would be shown to whoever opens the page. "
                "Name a folder with examples=, or set examples=false."
            )
    return found
