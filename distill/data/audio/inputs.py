"""What a vocoder is to say: audio to copy, or mels from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from distill.contract import DataSpec
from distill.data.audio.files import SUFFIXES, UnusableError
from distill.data.audio.mel import LogMel
from distill.data.audio.mel_files import MEL_SUFFIXES, read_mel
from distill.data.audio.pitch import Pitch
from distill.data.audio.preparation import STEP, Preparation, Source
from distill.networks.frame_features import with_missing


class Input(NamedTuple):
    """One thing to say.

    Arguments:
        name: Its path below the folder, without suffix.
        features: As the model wants them, for a batch of 1; what it can do without, and does not
            get, is NaN.
        reference: The waveform `(1, F * hop)` that they came from, or `None` for a mel.
    """

    name: str
    features: dict[str, Tensor]
    reference: Tensor | None


def read_inputs(
    path: str | Path,
    spec: DataSpec,
    speaker: str | int | None = None,
    label: str | int | None = None,
) -> list[Input]:
    """Read a file, or all files of a folder and below: audio, `.npy` and `.pt` mels.

    Audio of a higher rate is resampled. Of several files, one that can't be used is left out with
    a printed line; a single one raises.

    Arguments:
        path: File or folder.
        spec: Of the model that is to say it.
        speaker: For a model that wants one: name or number.
        label: Likewise.

    Errors:
        FileNotFoundError: There is nothing at the path.
        ValueError: Nothing can be used, with the reason: audio of a lower rate or that can't be
            read; a mel with other bands, hop or rate, or NaN; an F0 out of range; a speaker or
            label that the model wants and does not get, or does not know.
    """
    path = Path(path).expanduser()
    beside = {
        name: label_index(name, value, spec)
        for name, value in (("speaker", speaker), ("label", label))
        if name in spec.features
    }
    framed = [name for name, feature in spec.features.items() if feature.kind == "frames"]
    if not framed:
        raise ValueError(
            f"{path}: the model takes no mel, only {', '.join(spec.features) or 'noise'}; leave "
            "out input=."
        )
    files = _files(path)
    found, problems = [], []
    for file in files:
        try:
            features, reference = _read(file, spec, framed)
        except ValueError as error:
            problems.append(str(error))
            continue
        inner = file.name if path.is_file() else file.relative_to(path).as_posix()
        found.append(Input(inner.removesuffix(file.suffix), {**features, **beside}, reference))
    if not found:
        more = f" And {len(problems) - 1} more like it." if len(problems) > 1 else ""
        raise ValueError(problems[0] + more)
    for problem in problems:
        print(f"left out: {problem}", flush=True)
    return found


def _files(path: Path) -> list[Path]:
    known = (*SUFFIXES, *MEL_SUFFIXES)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder.")
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    files = [file for file in files if file.is_file() and file.suffix.lower() in known]
    if not files:
        raise ValueError(f"{path}: no audio and no mel; wanted one of {', '.join(known)}.")
    return files


def _read(file: Path, spec: DataSpec, framed: list[str]) -> tuple[dict[str, Tensor], Tensor | None]:
    if file.suffix.lower() in MEL_SUFFIXES:
        features = read_mel(file, spec)
        phase_wanted = "phase" in framed and not spec.features["phase"].optional
        if phase_wanted and "f0" in features:
            assert spec.sample_rate is not None
            pitch, mel = Pitch.of(spec), LogMel.of(spec)
            phase = pitch.integrate(features["f0"][0], spec.sample_rate, mel)
            features["phase"] = phase[None]
        features = with_missing(features, {name: spec.features[name] for name in framed})
        missing = [name for name in framed if name not in features]
        if missing:
            raise ValueError(
                f"{file}: the model wants {', '.join(missing)} beside the mel; give a .pt file "
                f"that holds a dictionary with {', '.join(framed)}, or audio."
            )
        return {name: features[name] for name in framed}, None
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


def label_index(name: str, value: str | int | None, spec: DataSpec) -> Tensor:
    """Return the index `(1,)` of a speaker or label given by name or number.

    Errors:
        ValueError: The model does not know it.
    """
    names = [str(known) for known in spec.settings.get(f"{name}s", [])]
    size = spec.features[name].size
    if isinstance(value, int) and 0 <= value < size:
        return torch.tensor([value])
    if value is not None and str(value) in names:
        return torch.tensor([names.index(str(value))])
    known = ", ".join(names) or f"0 to {size - 1}"
    got = "none" if value is None else repr(value)
    raise ValueError(f"{name}: the model wants one of {known}, got {got}. Give it with {name}=.")
