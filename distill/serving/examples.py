"""Clips to listen to: a reference and what Griffin-Lim, teacher and student make of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from distill.errors import flat

KINDS = ("reference", "griffin_lim", "teacher", "student", "student_from_mel")
_FLAT = re.compile(rf"({'|'.join(sorted(KINDS, key=len, reverse=True))})(?:_(\w+))?")


@dataclass(frozen=True)
class Example:
    """A clip: its name, and the files of it that are there, among `KINDS`."""

    name: str
    sounds: dict[str, Path]


def find_examples(folder: str | Path) -> list[Example]:
    """Return the clips of a folder, in order of their names.

    Either `NAME/reference.wav`, `NAME/griffin_lim.wav`, `NAME/teacher.wav`, `NAME/student.wav` and
    `NAME/student_from_mel.wav`, or as `distill evaluate` leaves them in RUN/evaluate/audio:
    `reference_0.wav`, `teacher_0.wav`, ... Any of them may be missing.

    Errors:
        FileNotFoundError: There is no such folder.
        ValueError: It holds none.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder. Name one with examples=.")
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob("*.wav")):
        match = _FLAT.fullmatch(path.stem)
        if match:
            found.setdefault(f"clip {match[2] or 0}", {})[match[1]] = path
    for kind in KINDS:
        for path in sorted(folder.glob(f"*/{kind}.wav")):
            found.setdefault(path.parent.name, {})[kind] = path
    if not found:
        raise ValueError(
            f"{folder}: no examples; wanted NAME/reference.wav, NAME/teacher.wav and "
            "NAME/student.wav, or what `distill evaluate` leaves in RUN/evaluate/audio."
        )
    return [
        Example(flat(name), {kind: found[name][kind] for kind in KINDS if kind in found[name]})
        for name in sorted(found)
    ]
