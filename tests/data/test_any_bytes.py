"""Whatever a file holds, readers return a value or raise one ValueError that names it."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill.contract import DataSpec, FeatureSpec
from distill.data.audio import LogMel, Pitch, read_inputs
from distill.data.audio.files import read
from distill.data.points import Points
from distill.data.table import read_table

FRAMES = {"mel": FeatureSpec("frames", 4), "f0": FeatureSpec("frames", 2, optional=True)}
MEL = LogMel(bands=4, fft=64, window=64, hop=16, high=None)
SPEC = DataSpec(
    None, features=FRAMES, sample_rate=1000, hop=16, settings={"mel": vars(MEL), "pitch": {}}
)
FAST = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def sound(kind: str, subtype: str | None = None) -> bytes:
    wave = 0.1 * np.random.default_rng(0).normal(size=(400, 2))
    return written(lambda file: soundfile.write(file, wave, 1000, subtype, format=kind))


def tensors(value: object) -> bytes:
    return written(lambda file: torch.save(value, file))


KINDS = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("AIFF", "PCM_16")]
KINDS += [("FLAC", "PCM_16"), ("OGG", "VORBIS")]
SOUNDS = [sound(*kind) for kind in KINDS]
ARRAYS = [
    written(lambda file, a=a: np.save(file, a))
    for a in (
        np.zeros((5, 4), np.float32),
        np.zeros((6, 5), ">f8"),
        np.zeros(7, np.int16),
        np.zeros((3, 4), bool),
        np.zeros((2, 2), [("a", "f4")]),
        np.full((12, 2), 2.5),
    )
]
DICTS = [
    tensors(v)
    for v in (
        torch.zeros(5, 4),
        {"mel": torch.zeros(4, 5), "f0": torch.zeros(5, 2), "hop": 16},
        {"mel": torch.zeros(5, 4, dtype=torch.int8)},
        [1, "a"],
    )
]
SUFFIXES = st.sampled_from([".wav", ".aiff", ".flac", ".ogg", ".mp3", ".opus", ".WAV"])


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Return a file with bytes changed, taken out, put in, or cut off."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        # Most of what can go wrong stands at the beginning.
        place = int(draw(st.floats(0, 1)) ** 3 * max(len(content) - 1, 0))
        kind = draw(st.sampled_from(["set", "insert", "delete", "cut"]))
        some = draw(st.binary(min_size=1, max_size=6))
        if kind == "set":
            content[place : place + len(some)] = some
        elif kind == "insert":
            content[place:place] = some
        elif kind == "delete":
            del content[place : place + len(some)]
        else:
            del content[place:]
    return bytes(content)


def refuses_in_words(call: Callable[[], object], name: str = "") -> object:
    """Return the value of a call, or `None` where it raised as it should, with a name."""
    try:
        return call()
    except ValueError as error:
        text = str(error)
    assert text
    assert name in text
    assert "\n" not in text
    assert len(text) < 600
    return None


@FAST
@given(content=damaged(SOUNDS) | st.binary(max_size=200), suffix=SUFFIXES)
def test_any_bytes_are_a_recording_or_refused(tmp_path, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    found = refuses_in_words(lambda: read(path))
    if found is not None:
        assert found.samples.ndim == 2
        assert np.isfinite(found.samples).all()
        assert found.rate > 0


@FAST
@given(
    content=damaged([*ARRAYS, *DICTS, *SOUNDS]) | st.binary(max_size=200),
    suffix=st.sampled_from([".npy", ".NPY", ".pt", ".wav"]),
)
def test_any_bytes_are_an_input_or_refused_by_name(tmp_path, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        # Following pitch takes long, and is not what is asked here.
        patch.setattr(Pitch, "__call__", lambda self, x, rate, mel: torch.zeros(mel.frames(len(x))))
        found = refuses_in_words(lambda: read_inputs(path, SPEC), str(path))
    if found is not None:
        (one,) = found
        assert one.features["mel"].isfinite().all()
        assert one.features["mel"].shape[1:] == (one.features["f0"].shape[1], 4)
        assert one.features["mel"].dtype == torch.float32


CELL = st.sampled_from(
    [
        "1",
        "2.5",
        "-3e4",
        "1,5",
        "x",
        "",
        "nan",
        "inf",
        "true",
        "False",
        "1e309",
        "０",
        '"',
        "é",
        "#",
    ]
)
LINE = st.lists(CELL, max_size=4).flatmap(
    lambda cells: st.sampled_from(",;\t |").map(lambda sign: sign.join(cells))
)


@FAST
@given(
    content=st.lists(LINE, max_size=14).map(lambda lines: "\n".join(lines).encode())
    | damaged([*ARRAYS, b"a,b\n1.5,2\n" * 4, "x;y\n1,5;2\n".encode("utf-16")])
    | st.binary(max_size=60),
    suffix=st.sampled_from([".csv", ".tsv", ".TXT", ".npy", ".dat"]),
    header=st.sampled_from([None, True, False]),
)
def test_any_bytes_are_a_table_or_refused_by_name(tmp_path, content, suffix, header):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    found = refuses_in_words(lambda: read_table(path, header), str(path))
    if found is not None:
        assert found.values.dtype == np.float64
        assert found.values.ndim == 2
        assert found.names is None or len(found.names) == found.values.shape[1]
        data = refuses_in_words(lambda: Points(str(path), header=header, dequantize=True))
        if data is not None:
            assert data.train_values.isfinite().all()
            assert all(np.isfinite([*data.spec.loc, *data.spec.scale]))
