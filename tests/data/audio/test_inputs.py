"""What a vocoder is given: audio, and mels from elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distill.contract import DataSpec
from distill.data.audio import LogMel, Tones, read_inputs

MEL = LogMel(bands=20, fft=256, window=256, hop=64, high=None)


@pytest.fixture(scope="module")
def data() -> Tones:
    return Tones(count=6, seconds=0.5, mel=MEL, crop=1024)


def spec_with(*conditions: str, optional: tuple[str, ...] = ()) -> DataSpec:
    made = Tones(count=6, seconds=0.5, mel=MEL, crop=1024, conditions=conditions, optional=optional)
    return made.spec


def test_audio_gives_its_features_and_itself(data: Tones, tmp_path: Path) -> None:
    clip = data._held[0].load()
    soundfile.write(tmp_path / "one.wav", clip.samples.numpy(), 8000)
    ((name, features, reference, path),) = read_inputs(tmp_path / "one.wav", data.spec)
    assert path == tmp_path / "one.wav"
    assert name == "one"
    assert torch.equal(features["mel"][0], clip.frames["mel"])
    assert reference is not None
    assert reference.shape == (1, 63 * 64)
    assert torch.equal(reference[0, :4000], clip.samples / 2**15)


def test_mels_are_read_in_either_order(data: Tones, tmp_path: Path) -> None:
    mel = torch.randn(33, 20)
    np.save(tmp_path / "a.npy", mel.numpy())
    np.save(tmp_path / "b.npy", mel.T.numpy().astype(np.float64))
    torch.save(mel[None], tmp_path / "c.pt")
    torch.save({"mel": mel.T, "sample_rate": 8000, "hop": 64}, tmp_path / "d.pt")
    found = read_inputs(tmp_path, data.spec)
    assert [one.name for one in found] == ["a", "b", "c", "d"]
    for one in found:
        assert torch.equal(one.features["mel"], mel[None])
        assert one.reference is None


def pitched(line: float, frames: int = 9) -> torch.Tensor:
    """Return an F0 that is voiced all along."""
    return torch.tensor([[line, 1.0]]).repeat(frames, 1)


def wrong(name: str, tmp_path: Path) -> tuple[Path, str]:
    """Write a file that must be refused, and return what must be said of it."""
    mel = torch.randn(9, 20)
    nan = mel.clone()
    nan[3, 4] = torch.nan
    arrays = {
        "bands": (torch.randn(9, 80), r"\(frames, 20\) or \(20, frames\).*got \(9, 80\)"),
        "axes": (torch.randn(20), r"got \(20,\)"),
        "NaN": (nan, "NaN, infinity or too large a number in 1 of 9 frames"),
        "no frames": (torch.zeros(0, 20), "no frames"),
        "words": (["a"], "wanted real numbers in floats, got <U1"),
        "no mel": ({"spectrogram": mel}, "wants mel, got spectrogram"),
        "rate": ({"mel": mel, "sample_rate": 22050}, "sample_rate=8000, .* got sample_rate=22050"),
        "hop": ({"mel": mel, "hop": torch.tensor(256)}, "hop=64, .* got hop=256"),
        "log": ({"mel": mel, "log": "log10"}, "log=natural, .* got log=log10"),
        "pitch": ({"mel": mel, "f0": pitched(5.0)}, "wanted mel, and settings.*got also 'f0'"),
    }
    path = tmp_path / f"{name}.pt"
    if name == "garbage":
        path = path.with_suffix(".npy")
        path.write_bytes(b"nothing of the kind")
        return path, "can't be read as frames"
    value, message = arrays[name]
    torch.save(value, path)
    return path, message


@pytest.mark.parametrize(
    "name",
    [
        *("bands", "axes", "NaN", "no frames", "words", "no mel", "rate", "hop", "log", "garbage"),
        "pitch",
    ],
)
def test_a_mel_that_does_not_fit_is_refused_in_one_line(
    name: str, data: Tones, tmp_path: Path
) -> None:
    path, message = wrong(name, tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        read_inputs(path, data.spec)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_objects_in_files_are_not_run(data: Tones, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="can't be read as frames"):
        read_inputs(tmp_path / "a.npy", data.spec)


def test_bad_files_among_good_ones_are_left_out_aloud(
    data: Tones, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong("bands", tmp_path)
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "slow.wav", np.random.default_rng(0).normal(size=999) / 9, 4000)
    np.save(tmp_path / "good.npy", np.full((5, 20), -6.0))
    assert [one.name for one in read_inputs(tmp_path, data.spec)] == ["good"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("left out: ") for line in lines)
    (tmp_path / "good.npy").unlink()
    with pytest.raises(ValueError, match=r"And 2 more like it"):
        read_inputs(tmp_path, data.spec)


def test_paths_without_anything_raise(data: Tones, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_inputs(tmp_path / "nothing", data.spec)
    with pytest.raises(ValueError, match="no audio and no mel"):
        read_inputs(tmp_path, data.spec)


def test_a_label_is_asked_for_by_name_or_number(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 20)))
    spec = spec_with("mel", "label")
    assert read_inputs(tmp_path, spec, label="pluck")[0].features["label"].tolist() == [1]
    assert read_inputs(tmp_path, spec, label=2)[0].features["label"].tolist() == [2]
    for given in (None, "bell", 3):
        with pytest.raises(ValueError, match="label: the model wants one of tone, pluck, burst"):
            read_inputs(tmp_path, spec, label=given)
    with pytest.raises(ValueError, match="takes no mel, only label"):
        read_inputs(tmp_path, spec_with("label"), label=0)


def test_pitch_comes_with_audio_or_beside_a_mel(data: Tones, tmp_path: Path) -> None:
    spec = spec_with("mel", "f0")
    torch.save({"mel": torch.zeros(5, 20), "f0": pitched(5.0, 5)}, tmp_path / "a.pt")
    assert read_inputs(tmp_path / "a.pt", spec)[0].features["f0"].shape == (1, 5, 2)
    np.save(tmp_path / "b.npy", np.zeros((5, 20)))
    with pytest.raises(ValueError, match=r"20 of mel, then 2 of f0; got \(5, 20\)"):
        read_inputs(tmp_path / "b.npy", spec)
    soundfile.write(tmp_path / "c.wav", data._held[0].load().samples.numpy(), 8000)
    assert read_inputs(tmp_path / "c.wav", spec)[0].features["f0"].shape == (1, 63, 2)


def test_beside_a_mel_the_phase_is_what_its_pitch_adds_up_to(tmp_path: Path) -> None:
    spec = spec_with("mel", "f0", "phase")
    f0 = pitched(np.log(125.0), 5)
    torch.save({"mel": torch.zeros(5, 20), "f0": f0}, tmp_path / "a.pt")
    phase = read_inputs(tmp_path / "a.pt", spec)[0].features["phase"]
    # 64 sites of 125 Hz at 8 kHz are one turn.
    torch.testing.assert_close(phase, torch.tensor([1.0, 0.0]).expand(1, 5, 2), atol=1e-5, rtol=0)


def test_a_model_that_finds_its_pitch_needs_the_mel_alone(data: Tones, tmp_path: Path) -> None:
    spec = spec_with("mel", optional=("f0", "phase"))
    np.save(tmp_path / "a.npy", np.zeros((5, 20)))
    features = read_inputs(tmp_path / "a.npy", spec)[0].features
    assert list(features) == ["mel", "f0", "phase"]
    assert features["f0"].shape == features["phase"].shape == (1, 5, 2)
    assert features["f0"].isnan().all()
    assert features["phase"].isnan().all()
    f0 = pitched(5.0, 5)
    f0[3] = torch.nan
    torch.save({"mel": torch.zeros(5, 20), "f0": f0}, tmp_path / "b.pt")
    features = read_inputs(tmp_path / "b.pt", spec)[0].features
    torch.testing.assert_close(features["f0"][0], f0, equal_nan=True)
    assert features["phase"].isnan().all()
    f0[2, 0] = torch.nan
    torch.save({"mel": torch.zeros(5, 20), "f0": f0}, tmp_path / "b.pt")
    with pytest.raises(ValueError, match="in 1 of 5 frames"):
        read_inputs(tmp_path / "b.pt", spec)
    soundfile.write(tmp_path / "c.wav", data._held[0].load().samples.numpy(), 8000)
    features = read_inputs(tmp_path / "c.wav", spec)[0].features
    assert features["f0"].isfinite().all()
    assert features["phase"].isfinite().all()


def test_no_two_inputs_share_a_name(data: Tones, tmp_path: Path) -> None:
    for name in ("a.npy", "a.NPY", "a.npy.npy", "b/a.npy", "b/c.npy", "linked/d.npy"):
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True, parents=True)
        with (tmp_path / "in" / name).open("wb") as file:
            np.save(file, np.zeros((5, 20)))
    (tmp_path / "in" / "linked").rename(tmp_path / "elsewhere")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    torch.save(torch.zeros(5, 20), tmp_path / "in" / "b" / "c.pt")
    found = {one.name: one.path for one in read_inputs(tmp_path / "in", data.spec)}
    wanted = ["a.NPY", "a.npy", "a.npy.npy", "b/a", "b/c.npy", "b/c.pt", "linked/d"]
    assert sorted(found) == wanted
    assert all((tmp_path / "in" / name).exists() or name in ("b/a", "linked/d") for name in found)
    assert len(set(found.values())) == 7
