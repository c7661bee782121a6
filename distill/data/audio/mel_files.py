"""Mels from elsewhere: `.npy` and `.pt` files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.contract import DataSpec
from distill.data.audio.mel import LogMel

MEL_SUFFIXES = (".npy", ".pt")
_LOWEST = 20.0  # Hz


def read_mel(path: Path, spec: DataSpec) -> dict[str, Tensor]:
    """Read the features at frame rate that a front end wrote.

    An array is the mel, `(F, bands)` or `(bands, F)`, also with a leading axis of 1; where both
    axes have as many entries as there are bands, frames come first. A `.pt` file may hold a
    dictionary: `mel`, `f0` (`(F, 2)`: log-frequency and voicing), and any of `sample_rate` and the
    settings of `LogMel`, which then must be the model's. Where the model can do without F0, a frame
    of `f0` may hold NaN twice: the model then finds it.

    Arguments:
        path: The file.
        spec: Of the model that is to turn it into sound.

    Returns:
        `mel` `(1, F, bands)`, and `f0` `(1, F, 2)` if it is there.

    Errors:
        ValueError: It can't be read, has no frames, NaN, other bands, rate or settings, or an F0
            outside of 20 Hz to a quarter of the sample rate.
    """
    entries = _entries(path)
    mel = LogMel.of(spec)
    mine = {"sample_rate": spec.sample_rate, **asdict(mel)}
    for name, wanted in mine.items():
        if name in entries and _plain(entries[name]) != wanted:
            raise ValueError(
                f"{path}: wanted a mel with {name}={wanted}, as the model was trained with, got "
                f"{name}={_plain(entries[name])}. Make it again with the model's settings."
            )
    features = {"mel": _frames(path, "mel", entries["mel"], mel.bands)}
    if "f0" in entries:
        optional = "f0" in spec.features and spec.features["f0"].optional
        features["f0"] = _frames(path, "f0", entries["f0"], 2, gaps=optional)
        _check_pitch(path, features["f0"][0], spec)
        frames = [value.shape[1] for value in features.values()]
        if frames[0] != frames[1]:
            raise ValueError(f"{path}: wanted mel and f0 of the same length, got {frames} frames.")
    return features


def _entries(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix.lower() == ".npy":
            return {"mel": torch.from_numpy(np.load(path, allow_pickle=False))}
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"{path}: can't read it as a mel ({reason}).") from None
    if isinstance(found, Tensor):
        return {"mel": found}
    if not isinstance(found, Mapping) or "mel" not in found:
        got = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
        raise ValueError(f"{path}: wanted a tensor, or a dictionary with 'mel', got {got}.")
    return found


def _frames(path: Path, name: str, values: Any, size: int, gaps: bool = False) -> Tensor:
    if not isinstance(values, Tensor) or values.dtype.is_complex or values.dtype == torch.bool:
        raise ValueError(f"{path}: wanted numbers for {name}, got {type(values).__name__}.")
    shape = tuple(values.shape)
    if len(shape) == 3 and shape[0] == 1:
        values = values[0]
    if values.dim() != 2 or size not in values.shape:
        raise ValueError(
            f"{path}: wanted {name} of shape (frames, {size}) or ({size}, frames), as the model "
            f"was trained with, got {shape}."
        )
    values = values if values.shape[1] == size else values.T
    if not len(values):
        raise ValueError(f"{path}: {name} has no frames.")
    values = values.float()
    bad = int(((~values.isfinite()).any(1) & ~(values.isnan().all(1) & gaps)).sum())
    if bad:
        raise ValueError(f"{path}: {name} holds NaN or infinity, in {bad} of {len(values)} frames.")
    return values[None].contiguous()


def _check_pitch(path: Path, f0: Tensor, spec: DataSpec) -> None:
    """Raise where the F0 of a voiced frame is none."""
    high = (spec.sample_rate or math.inf) / 4
    hertz = f0[:, 0].double().exp()
    wrong = ((f0[:, 1] > 0) & ~((hertz >= _LOWEST) & (hertz <= high))).nonzero()[:, 0]
    if len(wrong):
        raise ValueError(
            f"{path}: wanted f0 of {_LOWEST:g} to {high:g} Hz in voiced frames, got "
            f"{float(hertz[wrong[0]]):.4g} Hz in frame {int(wrong[0])} and in {len(wrong) - 1} "
            "others. Its first channel is the natural logarithm of Hz, its second one 0 or 1."
        )


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
