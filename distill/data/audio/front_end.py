"""Mels that a front end made, to train on its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.arrays import as_floats, scalar
from distill.data.audio.files import UnusableError
from distill.data.audio.frame_files import read_content
from distill.data.audio.mel import LogMel


def given_mel(path: str | Path | None, mel: LogMel, sites: int, rate: int) -> Tensor:
    """Read the mel that a front end made of a clip, and check that it is of that clip.

    Floats `(F, bands)` or `(bands, F)`, also with a leading axis of 1. Front ends that center
    windows on the beginnings of frames (`align=start`) give one more where the hop divides the
    length; it is dropped.

    Arguments:
        path: Its file.
        mel: The settings it should have been made with.
        sites: Length of the clip.
        rate: Its sample rate, Hz.

    Returns:
        `(F, bands)` with F = sites / hop, rounded up.

    Errors:
        UnusableError: It can't be read, or has another shape, other frames, NaN, or names or
            shows other settings.
    """
    assert path is not None
    path = Path(path)
    values = _read(path, {"sample_rate": rate, **asdict(mel)})
    wanted = mel.frames(sites)
    surplus = wanted + (mel.align == "start" and sites % mel.hop == 0)
    values = values[0] if values.dim() == 3 and len(values) == 1 else values
    frames_first = values.dim() == 2 and values.shape[1] == mel.bands
    if values.dim() == 2 and len(values) == mel.bands:
        values = values if frames_first and len(values) in (wanted, surplus) else values.T
    elif not frames_first:
        raise UnusableError(
            f"mel of another shape: {tuple(values.shape)}, wanted (frames, {mel.bands})"
        )
    if len(values) not in (wanted, surplus):
        raise UnusableError(
            f"mel of another length: {len(values)} frames, wanted {wanted} for {sites} samples in "
            f"hops of {mel.hop}"
        )
    values = values[:wanted].float()
    if not values.isfinite().all():
        raise UnusableError(f"NaN or infinity: mel {path.name}")
    try:
        mel.check_scale(values, rate, path.name)
    except ValueError as error:
        raise UnusableError(f"mel of another scale: {error}") from None
    return values.contiguous()


def _read(path: Path, settings: Mapping[str, Any]) -> Tensor:
    try:
        content = read_content(path)
        if isinstance(content, Mapping):
            for key in settings.keys() & content.keys():
                if scalar(content[key]) != settings[key]:
                    raise UnusableError(
                        f"mel of other settings: {key}={str(scalar(content[key]))[:40]}, wanted "
                        f"{settings[key]}"
                    )
            content = content.get("mel")
        return torch.from_numpy(np.array(as_floats(content, path.name), np.float32))
    except UnusableError:
        raise
    except (ValueError, OSError) as error:
        raise UnusableError(f"unreadable: {error}") from None
