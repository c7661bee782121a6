"""Frames are read by the same rules in Python, `sample`, `stream` and `serve`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from distill.contract import DataSpec, FeatureSpec
from distill.data.audio import read_frames
from distill.frames import FrameLayout
from distill.serving import open_source
from distill.serving.bodies import read_body
from distill.stages.sampling.requests import requests_of

from .conftest import BANDS, HOP, RATE, spec

FRAMES = 9
F0 = FeatureSpec("frames", 2)
FREE = FeatureSpec("frames", 2, optional=True)
SPECS = {
    "mel": spec(),
    "mel and f0": spec(f0=F0),
    "a phase that f0 adds up to": spec(f0=F0, phase=F0),
    "f0 and phase optional": spec(f0=FREE, phase=FREE),
    "f0 optional": spec(f0=FREE, phase=F0),
}
MEL = torch.randn(FRAMES, BANDS, generator=torch.Generator().manual_seed(0))
LINE = torch.stack([torch.linspace(4.7, 5.3, FRAMES), torch.ones(FRAMES)], 1)
# 64 sites of 125 Hz at 8 kHz are one turn.
STEADY = torch.stack([torch.full((FRAMES,), np.log(125.0)), torch.ones(FRAMES)], 1)
TURNED = torch.tensor([[1.0, 0.0]]).repeat(FRAMES, 1)
NAN = torch.full((FRAMES, 2), torch.nan)


def by_python(path: Path, data: DataSpec) -> np.ndarray:
    features = read_frames(path, data)
    return np.concatenate([value[0].numpy() for value in features.values()], 1)


def by_sample(path: Path, data: DataSpec) -> np.ndarray:
    words = {"input": str(path), "count": None, "seconds": 1.0, "temperature": 1.0}
    config = OmegaConf.create({**words, "speaker": None, "label": None})
    (request,) = requests_of(config, data, "student")
    assert request.sites == HOP * next(iter(request.features.values())).shape[1]
    return np.concatenate([value[0].numpy() for value in request.features.values()], 1)


def by_stream(path: Path, data: DataSpec) -> np.ndarray:
    return np.concatenate(list(open_source(str(path), FrameLayout(data), 4, io.BytesIO())))


def by_stdin(path: Path, data: DataSpec) -> np.ndarray:
    pipe = io.BytesIO(path.read_bytes())
    return np.concatenate(list(open_source("-", FrameLayout(data), 4, pipe)))


def by_serve(path: Path, data: DataSpec) -> np.ndarray:
    layout = FrameLayout(data, whole=True)
    if path.suffix.lower() == ".pt":  # what a .pt file holds goes there as JSON
        content = torch.load(path)
        if not isinstance(content, Mapping):
            content = {"mel": content}
        plain = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in content.items()}
        path = path.with_suffix(".json")
        path.write_text(json.dumps(plain))
    return read_body(path, layout, 60.0)


ENTRANCES: dict[str, Callable[[Path, DataSpec], np.ndarray]] = {
    "python": by_python,
    "sample": by_sample,
    "stream": by_stream,
    "stdin": by_stdin,
    "serve": by_serve,
}


def npy(values: Any, dtype: str = "float32") -> Callable[[Path], None]:
    return lambda path: _save(path, np.asarray(values).astype(dtype))


def _save(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:  # np.save adds a suffix to names like a.NPY
        np.save(file, array)


def pt(value: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(value, path)


BOTH = torch.cat([MEL, LINE], 1)
SETTINGS = {"sample_rate": RATE, "hop": HOP, "log": "natural", "high": None}
# Of a file: which model, its name, how it is written, and the rows that it stands for.
GOOD: dict[str, tuple[str, str, Callable[[Path], None], torch.Tensor]] = {
    "(frames, bands)": ("mel", "a.npy", npy(MEL), MEL),
    "(bands, frames), as FastSpeech": ("mel", "a.npy", npy(MEL.T), MEL),
    "(1, bands, frames), as HiFi-GAN": ("mel", "a.npy", npy(MEL.T[None]), MEL),
    "(1, frames, bands)": ("mel", "a.npy", npy(MEL[None]), MEL),
    "as many frames as bands": ("mel", "a.npy", npy(MEL[[0] * BANDS]), MEL[[0] * BANDS]),
    "an upper case suffix": ("mel", "A.NPY", npy(MEL), MEL),
    "a mixed one": ("mel", "a.Pt", pt(MEL), MEL),
    "float64": ("mel", "a.npy", npy(MEL, "float64"), MEL),
    "float16": ("mel", "a.npy", npy(MEL, "float16"), MEL.half().float()),
    "big-endian": ("mel", "a.npy", npy(MEL, ">f4"), MEL),
    "big-endian float64": ("mel", "a.npy", npy(MEL, ">f8"), MEL),
    "Fortran order": ("mel", "a.npy", npy(np.asfortranarray(MEL.numpy())), MEL),
    "a tensor, as Tacotron 2": ("mel", "a.pt", pt(MEL.T[None]), MEL),
    "one that wants a gradient": ("mel", "a.pt", pt(MEL.clone().requires_grad_()), MEL),
    "a parameter": ("mel", "a.pt", pt(torch.nn.Parameter(MEL.clone())), MEL),
    "half a tensor": ("mel", "a.pt", pt(MEL.half()), MEL.half().float()),
    "a tensor of bfloat16": ("mel", "a.pt", pt(MEL.bfloat16()), MEL.bfloat16().float()),
    "a view": ("mel", "a.pt", pt(torch.cat([MEL, MEL])[FRAMES:]), MEL),
    "a dictionary": ("mel", "a.pt", pt({"mel": MEL.T}), MEL),
    "settings that agree": ("mel", "a.pt", pt({"mel": MEL, **SETTINGS}), MEL),
    "settings in tensors": ("mel", "a.pt", pt({"mel": MEL, "hop": torch.tensor(HOP)}), MEL),
    "features side by side": ("mel and f0", "a.npy", npy(BOTH.T), BOTH),
    "features by name": ("mel and f0", "a.pt", pt({"f0": LINE.T, "mel": MEL[None]}), BOTH),
    "no phase": (
        "a phase that f0 adds up to",
        "a.npy",
        npy(torch.cat([MEL, STEADY], 1)),
        torch.cat([MEL, STEADY, TURNED], 1),
    ),
    "no phase, by name": (
        "a phase that f0 adds up to",
        "a.pt",
        pt({"mel": MEL, "f0": STEADY}),
        torch.cat([MEL, STEADY, TURNED], 1),
    ),
    "the mel alone": ("f0 and phase optional", "a.npy", npy(MEL), torch.cat([MEL, NAN, NAN], 1)),
    "mel and f0": ("f0 and phase optional", "a.npy", npy(BOTH), torch.cat([BOTH, NAN], 1)),
    "a phase without f0": (
        "f0 and phase optional",
        "a.pt",
        pt({"mel": MEL, "phase": TURNED}),
        torch.cat([MEL, NAN, TURNED], 1),
    ),
    "NaN in place of f0": (
        "f0 and phase optional",
        "a.npy",
        npy(torch.cat([MEL, NAN, TURNED], 1)),
        torch.cat([MEL, NAN, TURNED], 1),
    ),
}


def pitched(line: float, voicing: float = 1.0) -> torch.Tensor:
    return torch.tensor([[line, voicing]]).repeat(FRAMES, 1)


def spoiled(value: float, frame: int = 3, channel: int = 4) -> torch.Tensor:
    changed = MEL.double().clone()
    changed[frame, channel] = value
    return changed


BAD: dict[str, tuple[str, str, Callable[[Path], None], str]] = {
    "whole numbers": ("mel", "a.npy", npy(MEL, "int16"), "floats, got int16. Whole numbers"),
    "booleans": ("mel", "a.npy", npy(MEL, "bool"), "floats, got bool"),
    "complex numbers": ("mel", "a.npy", npy(MEL, "complex64"), "floats, got complex64"),
    "texts": ("mel", "a.npy", npy(MEL, "U5"), "floats, got <U5"),
    "other bands": ("mel", "a.npy", npy(torch.zeros(9, 80)), r"\(20, frames\).*got \(9, 80\)"),
    "one axis": ("mel", "a.npy", npy(torch.zeros(20)), r"got \(20,\)"),
    "two values": ("mel", "a.npy", npy(torch.zeros(2, 9, 20)), r"got \(2, 9, 20\)"),
    "no frames": ("mel", "a.npy", npy(MEL[:0]), "no frames"),
    "NaN": ("mel", "a.npy", npy(spoiled(np.nan)), "NaN, .* in 1 of 9 frames"),
    "infinity": ("mel", "a.npy", npy(spoiled(-np.inf)), "infinity .* in 1 of 9 frames"),
    "beyond float32": ("mel", "a.npy", npy(spoiled(1e300), "float64"), "too large .* 1 of 9"),
    "another rate": ("mel", "a.pt", pt({"mel": MEL, "sample_rate": 22050}), "rate=8000, .*22050"),
    "another hop": ("mel", "a.pt", pt({"mel": MEL, "hop": 256}), "hop=64, .* got hop=256"),
    "another logarithm": ("mel", "a.pt", pt({"mel": MEL, "log": "log10"}), "got log=log10"),
    "decibels": ("mel", "a.npy", npy(20 * MEL - 60), "log=natural.* got a mean of -"),
    "another key": ("mel", "a.pt", pt({"spectrogram": MEL}), "wants mel, got spectrogram"),
    "a key too many": ("mel and f0", "a.pt", pt({"mel": MEL, "F0": LINE}), "got mel, F0. Give f0"),
    "what is not taken": ("mel", "a.pt", pt({"mel": MEL, "f0": LINE}), "got also 'f0'"),
    "a mel without f0": ("mel and f0", "a.npy", npy(MEL), r"\(frames, 22\).*got \(9, 20\)"),
    "another length": ("mel and f0", "a.pt", pt({"mel": MEL, "f0": LINE[1:]}), "9 of mel, 8 of f0"),
    "f0 in Hz": ("mel and f0", "a.pt", pt({"mel": MEL, "f0": pitched(200.0)}), "in 8 others"),
    "f0 too high": (
        "mel and f0",
        "a.npy",
        npy(torch.cat([MEL, pitched(8.0)], 1)),
        "20 to 2000 Hz in voiced frames, got 2981 Hz in frame 0",
    ),
    "f0 too low": ("mel and f0", "a.pt", pt({"mel": MEL, "f0": pitched(1.0)}), "logarithm of Hz"),
    "f0 of 0 without a voice": (
        "mel and f0",
        "a.npy",
        npy(torch.cat([MEL, pitched(5.0, 0.0).index_fill(0, torch.tensor([2]), 0.0)], 1)),
        "in unvoiced frames, got 1 Hz in frame 2 and in 0 others",
    ),
    "a voicing in between": (
        "mel and f0",
        "a.pt",
        pt({"mel": MEL, "f0": pitched(5.0, 0.3)}),
        "voicing of 0 or 1, got 0.3 in frame 0 and in 8 others",
    ),
    "neither f0 nor phase": ("f0 optional", "a.npy", npy(MEL), "only an f0 in every frame"),
    "half a NaN": (
        "f0 and phase optional",
        "a.npy",
        npy(torch.cat([MEL, pitched(np.nan)], 1)),
        "f0: NaN, .* in 9 of 9",
    ),
}


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_frames_are_the_same_by_every_entrance(entrance, kind, tmp_path):
    model, name, write, wanted = GOOD[kind]
    write(tmp_path / name)
    rows = ENTRANCES[entrance](tmp_path / name, SPECS[model])
    assert rows.dtype == np.float32
    assert rows.shape == tuple(wanted.shape)
    assert np.allclose(rows, wanted.numpy(), rtol=0, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("entrance", ENTRANCES)
def test_what_are_no_frames_is_refused_by_every_entrance(entrance, kind, tmp_path):
    model, name, write, says = BAD[kind]
    write(tmp_path / name)
    with pytest.raises(ValueError, match=says) as error:
        ENTRANCES[entrance](tmp_path / name, SPECS[model])
    called = {"serve": "body: ", "stdin": "stdin: "}.get(entrance, f"{tmp_path / name}: ")
    assert str(error.value).startswith(called)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("entrance", [name for name in ENTRANCES if name != "serve"])
def test_tensors_that_are_not_plain_are_refused(entrance, tmp_path):
    odd = {
        "sparse": MEL.to_sparse(),
        "repeated": torch.zeros(1, 1).expand(10**6, BANDS),
        "whole": MEL.int(),
        "an object": FrameLayout,
    }
    for name, value in odd.items():
        torch.save(value, tmp_path / f"{name}.pt")
        with pytest.raises(ValueError, match=r"wanted (a plain tensor|real numbers)|never run"):
            ENTRANCES[entrance](tmp_path / f"{name}.pt", SPECS["mel"])


LEAF = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
TREE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner)
)
KEYS = st.sampled_from(["mel", "f0", "phase", "hop", "log", "sample_rate", "F0", "\n"])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.dictionaries(KEYS, TREE | st.just([[0.5] * BANDS]) | st.just([[5.0, 1.0]])))
def test_any_json_is_frames_or_refused_in_words(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    said, rows = "body: ", np.zeros((0, BANDS + 4))
    try:
        rows = read_body(path, FrameLayout(SPECS["f0 and phase optional"], whole=True), 60.0)
    except ValueError as error:
        said = str(error)
    assert said.startswith("body: ")
    assert "\n" not in said
    assert len(said) < 500
    assert said != "body: " or rows.shape == (len(content["mel"]), BANDS + 4)
    assert np.isfinite(rows[:, :BANDS]).all()


def test_an_array_that_promises_more_than_it_holds_is_refused_before_memory_is_asked_for(tmp_path):
    _save(tmp_path / "a.npy", np.zeros((10, BANDS), np.float32))
    content = (tmp_path / "a.npy").read_bytes()
    lying = content.replace(b"(10, 20), }" + b" " * 12, b"(99999999999, 20), }   ")
    assert len(lying) == len(content)
    assert lying != content
    (tmp_path / "a.npy").write_bytes(lying)
    for entrance in ENTRANCES.values():
        with pytest.raises(ValueError, match="promises 7999999999920 bytes"):
            entrance(tmp_path / "a.npy", SPECS["mel"])
