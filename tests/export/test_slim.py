"""The slim path: an ONNX file with NumPy and ONNX Runtime alone."""

from __future__ import annotations

import subprocess
import sys
import venv
import wave
from pathlib import Path

import numpy as np
import pytest

from distill.distributions import Logistic, Normal
from distill.export import ONNX, load
from tests.export.students import F0, HOP, MEL, RATE, features_of, student

SCRIPT = Path(__file__).parents[2] / "scripts" / "slim_synthesis.py"
WITHOUT_TORCH = """
import runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "distill", "onnx"):
            raise ImportError(name + " is not there")

sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
assert not {"torch", "distill"} & set(sys.modules)
try:
    import torch
except ImportError:
    print("without torch")
"""


@pytest.mark.parametrize("base", [Normal, pytest.param(Logistic, marks=pytest.mark.slow)])
def test_the_slim_script_without_torch_gives_the_samples_of_synthesize(base, tmp_path):
    features = {"mel": MEL, "f0": F0}
    flow = student(features, base, flows=[1], mode="repeat", layers=1, channels=6, look_ahead=2)
    path = ONNX().write(flow, tmp_path / "student.onnx")
    given = features_of(flow, 9)
    np.save(tmp_path / "mel.npy", np.concatenate([value.numpy() for value in given.values()], 1))
    files = [path, tmp_path / "mel.npy", tmp_path / "out.wav"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, SCRIPT, *files, "5"], capture_output=True, text=True
    )
    assert done.stdout == "without torch\n", done.stderr
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (RATE, 1, 9 * HOP)
        got = np.frombuffer(file.readframes(9 * HOP), "<i2") / 32767
    wanted = load(path).synthesize(given, seed=5)[0].clamp(-1, 1).numpy()
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 + 0.5 / 32767)


def test_the_slim_script_filters_and_lets_the_model_find_its_pitch(signals, tmp_path):
    flow, path, _ = signals("onnx-whitened, from the mel")
    mel = features_of(flow, 9)["mel"].numpy()
    np.save(tmp_path / "mel.npy", mel)
    files = [path, tmp_path / "mel.npy", tmp_path / "out.wav"]
    subprocess.run([sys.executable, SCRIPT, *files, "5"], check=True)
    with wave.open(str(tmp_path / "out.wav")) as file:
        got = np.frombuffer(file.readframes(9 * HOP), "<i2") / 32767
    wanted = load(path).synthesize(mel, seed=5)[0].clamp(-1, 1).numpy()
    assert np.abs(wanted).max() > 0.01
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-5 + 0.5 / 32767)


@pytest.mark.slow
def test_it_runs_in_an_environment_of_numpy_and_onnx_runtime(tmp_path):
    flow = student({"mel": MEL}, flows=[1], mode="repeat", look_ahead=1)
    path = ONNX().write(flow, tmp_path / "student.onnx")
    np.save(tmp_path / "mel.npy", features_of(flow, 9)["mel"].numpy())
    venv.create(tmp_path / "slim", with_pip=True)
    python = tmp_path / "slim" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "numpy", "onnxruntime"]
    if subprocess.run(install, capture_output=True).returncode:
        pytest.skip("NumPy and ONNX Runtime could not be installed")
    assert subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 1
    subprocess.run(
        [python, SCRIPT, path, tmp_path / "mel.npy", tmp_path / "x.wav", "5"], check=True
    )
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert file.getnframes() == 9 * HOP


def test_the_slim_script_has_under_thirty_lines_of_code():
    lines = SCRIPT.read_text().splitlines()
    assert len([line for line in lines if line.strip()]) < 30
