"""Frames from elsewhere: what a text-to-speech front end wrote into `.npy` and `.pt` files."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.arrays import read_npy, read_pt
from distill.contract import DataSpec
from distill.data.audio.mel import LogMel
from distill.data.audio.pitch import Pitch
from distill.frames import FrameLayout

FRAME_SUFFIXES = (".npy", ".pt")


def read_frames(path: str | Path, spec: DataSpec) -> dict[str, Tensor]:
    """Read the features at frame rate that a front end wrote.

    An array or a tensor of floats holds the features side by side, the mel first: `(F, width)` or
    `(width, F)`, also with a leading axis of 1; where both axes would do, frames come first. It may
    end before `f0` and `phase`, where the model can do without. A `.pt` file may hold a dictionary
    of features in place of it: `mel`, `f0` (`(F, 2)`: log-frequency and voicing), `phase`, and any
    of `sample_rate` and the settings of `LogMel`, which then must be the model's. A model that
    can't do without a phase gets the one that F0 adds up to.

    Arguments:
        path: The file.
        spec: Of the model that is to turn it into sound.

    Returns:
        Every feature at frame rate, `(1, F, size)`; what is left to the model to find is NaN.

    Errors:
        FileNotFoundError: There is none.
        ValueError: It can't be read, has no frames, no floats, NaN, other bands, rate or settings,
            or an F0 outside of 20 Hz to a quarter of the sample rate.
    """
    layout = FrameLayout(spec, whole=True)
    return features_of(rows_of_frames(read_content(Path(path)), layout, str(path)), layout)


def rows_of_frames(content: Any, layout: FrameLayout, name: str) -> np.ndarray:
    """Return full rows `(F, width)` of an array of frames, or of features by name.

    Arguments:
        content: What a file or a request held.
        layout: Of whole values.
        name: What to call it in an error.

    Errors:
        ValueError: What `FrameLayout.rows` and `gather` refuse; a mel of another scale.
    """
    if isinstance(content, Mapping):
        rows = layout.gather(content, name)
    else:
        rows = layout.complete(layout.rows(content, name))
    spec, features = layout.spec, features_of(rows, layout)
    if "mel" in features and "mel" in spec.settings:
        LogMel.of(spec).check_scale(features["mel"], layout.rate, f"{name}: mel")
    phase = features.get("phase")
    if phase is None or spec.features["phase"].optional or not phase.isnan().any():
        return rows
    contour, mel = features["f0"][0], LogMel.of(spec)
    if contour.isnan().any():
        raise ValueError(
            f"{name}: the model wants a phase, and only an f0 in every frame adds up to one. Give "
            "either."
        )
    features["phase"] = Pitch.of(spec).integrate(contour, layout.rate, mel)[None]
    return np.concatenate([value[0].numpy() for value in features.values()], axis=1)


def features_of(rows: np.ndarray, layout: FrameLayout) -> dict[str, Tensor]:
    """Cut rows into features `(1, F, size)` by name."""
    parts = layout.parts(rows).items()
    return {name: torch.from_numpy(np.ascontiguousarray(part))[None] for name, part in parts}


def read_content(path: Path) -> Any:
    """Read what a `.npy` or `.pt` file holds: an array, a tensor, or features by name.

    Errors:
        FileNotFoundError: There is none.
        ValueError: It can't be read.
    """
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return read_npy(file, path.stat().st_size)
        return read_pt(path)
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError:
        reason = "it holds something else than tensors and plain data, which is never run"
    except Exception as error:
        reason = " ".join(str(error).split("\n")[0].split())[:120] or type(error).__name__
    raise ValueError(f"{path}: can't be read as frames ({reason}).")
