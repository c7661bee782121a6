"""What a vocoder is to say: audio to copy, or frames from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.checks import path_of
from distill.contract import DataSpec
from distill.data.audio.files import UnusableError
from distill.data.audio.frame_files import FRAME_SUFFIXES, read_frames
from distill.data.audio.given_frames import MelWatch
from distill.data.audio.listing import SUFFIXES, files_below, named
from distill.data.audio.mel import LogMel
from distill.data.audio.pitch import Pitch
from distill.data.audio.preparation import STEP, Preparation, Source
from distill.labels import label_index

INPUT_SUFFIXES = (*FRAME_SUFFIXES, *SUFFIXES)
"""In lower case; a file's may be in any."""


class Input(NamedTuple):
    """One thing to say.

    Arguments:
        name: Its path below the folder, with its suffix only where two would share a name.
        features: As the model wants them, for a batch of 1; what it can do without, and does not
            get, is NaN.
        reference: The waveform `(1, F * hop)` that they came from, or `None` for frames.
        path: The file.
    """

    name: str
    features: dict[str, Tensor]
    reference: Tensor | None
    path: Path


def read_inputs(
    path: str | Path,
    spec: DataSpec,
    speaker: str | int | None = None,
    label: str | int | None = None,
) -> list[Input]:
    """Read a file, or all files of a folder and below: audio, and frames as `read_frames` does.

    Audio of a higher rate is resampled. A mel that is likely of another scale is used, and said. Of
    several files, one that can't be used is left out with
    a printed line; a single one raises.

    Arguments:
        path: File or folder.
        spec: Of the model that is to say it.
        speaker: For a model that wants one: name or number.
        label: Likewise.

    Errors:
        FileNotFoundError: There is nothing at the path.
        ValueError: Nothing can be used, with the reason: audio of a lower rate or that can't be
            read; frames that `read_frames` refuses; a speaker or label that the model wants and
            does not get, or does not know.
    """
    path = path_of(path, "input")
    beside = {
        name: torch.tensor([label_index(spec, name, value)])
        for name, value in (("speaker", speaker), ("label", label))
        if name in spec.features
    }
    if not any(feature.kind == "frames" for feature in spec.features.values()):
        raise ValueError(
            f"{path}: the model takes no mel, only {', '.join(spec.features) or 'noise'}; leave "
            "out input=."
        )
    found, problems = [], []
    for file, name in _files(path):
        try:
            features, reference = read_input(file, spec)
        except ValueError as error:
            problems.append(str(error))
            continue
        remark = MelWatch(spec).whole(features["mel"]) if "mel" in features else None
        if reference is None and remark:
            print(f"{file}: {remark}", flush=True)
        found.append(Input(name, {**features, **beside}, reference, file))
    if not found:
        more = f" And {len(problems) - 1} more like it." if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    for problem in problems:
        print(f"left out: {problem}", flush=True)
    return found


def read_input(file: Path, spec: DataSpec) -> tuple[dict[str, Tensor], Tensor | None]:
    """Read one file: its features at frame rate `(1, F, size)`, and the waveform of audio.

    Errors:
        ValueError: It can't be used, with the reason.
    """
    if file.suffix.lower() in FRAME_SUFFIXES:
        return read_frames(file, spec), None
    framed = [name for name, feature in spec.features.items() if feature.kind == "frames"]
    mel = LogMel.of(spec)
    assert spec.sample_rate is not None
    prepare = Preparation(
        sample_rate=spec.sample_rate,
        shortest=0.0,
        silence=-200.0,
        mel=mel,
        features=tuple(framed),
        pitch=Pitch.of(spec),
    )
    try:
        loaded = prepare(Source(file, file.stem))
    except UnusableError as reason:
        raise ValueError(f"{file}: {reason}.") from None
    x = loaded.samples.to(torch.float32) * STEP
    x = F.pad(x, (0, mel.frames(len(x)) * mel.hop - len(x)))
    return {name: loaded.frames[name][None] for name in framed}, x[None]


def _files(path: Path) -> list[tuple[Path, str]]:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder.")
    home = path.parent if path.is_file() else path
    files = [path.name] if path.is_file() else files_below(path, INPUT_SUFFIXES)
    if not files or Path(files[0]).suffix.lower() not in INPUT_SUFFIXES:
        raise ValueError(f"{path}: no audio and no mel; wanted one of {', '.join(INPUT_SUFFIXES)}.")
    return [(Path(file), name) for file, name in named(home, files)]
