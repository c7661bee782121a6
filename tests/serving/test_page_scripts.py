"""The scripts of the page without a server against Python: noise, mels, filter, files."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.data.audio.mel import LogMel
from distill.export import Noise
from distill.kernels.synthesis import synthesize
from distill.networks.levinson import levinson
from distill.serving import runtime
from distill.serving.runtime import fetch_runtime
from distill.serving.static_page import OWN, write_page, write_scripts

NODE = shutil.which("node")
node = pytest.mark.skipif(not NODE, reason="no node on PATH")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page's scripts in one folder, as modules."""
    folder = tmp_path_factory.mktemp("scripts") / "page"
    write_scripts(folder)
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def computed(scripts: Path, code: str, given: object) -> object:
    """Run code in node with the scripts; `given` is what it gets, and `say` tells the answer."""
    lines = [
        f"const given = {json.dumps(given)};",
        "const say = (value) => console.log(JSON.stringify(value));",
        code,
    ]
    done = subprocess.run(
        [NODE, "--input-type=module", "-e", "\n".join(lines)],
        cwd=scripts,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@node
def test_noise_of_the_scripts_is_that_of_python_for_every_seed(scripts):
    seeds = ["0", "7", str(2**32 - 1), str(2**64 + 5), str(3**100)]
    code = """
      import { Noise } from "./philox.js";
      say(given.map(([base, seed, count]) => {
        const noise = new Noise(base, seed);
        const [first, rest] = [new Float32Array(3), new Float32Array(count - 3)];
        return [...noise.fill(first), ...noise.fill(rest, 0.7)];
      }));
    """
    cases = [(base, seed, 50) for base in ("normal", "logistic") for seed in seeds]
    cases += [("normal", "1", 20_000)]  # 140 of them leave the ziggurat's inner boxes
    for (base, seed, count), got in zip(cases, computed(scripts, code, cases), strict=True):
        wanted = Noise(base, int(seed)).draw(count)
        wanted[3:] *= np.float32(0.7)
        np.testing.assert_allclose(np.float32(got), wanted, rtol=1e-6, atol=0)


@node
def test_mels_of_the_scripts_are_those_of_python_for_all_settings(scripts):
    wave = np.random.default_rng(0).normal(size=1000) * np.hanning(1000)
    cases = [
        (LogMel(bands=20, fft=256, window=256, hop=64, high=None), 8000, wave),
        (LogMel(bands=20, fft=300, window=201, hop=75, high=3000.0, htk=True), 8000, wave),
        (LogMel(20, 256, 200, 60, 50.0, None, False, False, 2.0, "start", "log10"), 16000, wave),
        (LogMel(20, 256, 256, 64, high=None, log="decibel", preemphasis=0.97), 8000, wave),
        (LogMel(bands=20, fft=256, window=256, hop=64, high=None), 8000, wave[500:540]),
    ]
    code = """
      import { logMel } from "./mel.js";
      say(given.map(([settings, rate, wave]) => [...logMel(wave, settings, rate)]));
    """
    given = [(asdict(mel), rate, list(x)) for mel, rate, x in cases]
    for (mel, rate, x), got in zip(cases, computed(scripts, code, given), strict=True):
        wanted = mel(torch.from_numpy(x)[None], rate)[0]
        np.testing.assert_allclose(np.reshape(got, wanted.shape), wanted, rtol=1e-5, atol=1e-6)


@node
def test_the_filter_of_the_scripts_keeps_its_state_as_python_does(scripts):
    random = np.random.default_rng(0)
    e, gain = random.normal(size=24), random.uniform(0.5, 2, 6)
    a = random.uniform(-0.2, 0.2, (6, 4))
    code = """
      import { AllPole } from "./synthesis.js";
      const filter = new AllPole(4);
      const { e, a, gain } = given;
      say([[0, 2], [2, 3], [3, 6]].flatMap(([from, to]) => {
        const part = (values, size) => values.slice(size * from, size * to);
        return [...filter.run(part(e, 4), part(a, 4), part(gain, 1), 4)];
      }));
    """
    given = {"e": list(e), "a": list(a.ravel()), "gain": list(gain)}
    wanted = synthesize(e[None], a[None], gain[None])[0][0]
    np.testing.assert_allclose(computed(scripts, code, given), wanted, rtol=1e-12)


@node
def test_the_predictors_of_the_scripts_are_those_of_python(scripts):
    signals = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 200)).cumsum(1))
    r = torch.stack([(signals[:, k:] * signals[:, : 200 - k]).sum(1) for k in range(8)], 1)
    code = """
      import { predictors } from "./synthesis.js";
      const { coefficients, gain } = predictors(Float64Array.from(given), 7);
      say([...coefficients, ...gain]);
    """
    a, variance = levinson(r)
    wanted = torch.cat([a.flatten(), variance.sqrt()])
    np.testing.assert_allclose(computed(scripts, code, r.flatten().tolist()), wanted, rtol=1e-9)


@node
def test_npy_files_are_read_in_every_layout_and_refused_with_a_reason(scripts, tmp_path):
    mel = np.random.default_rng(0).normal(size=(6, 3))
    saved = {
        "rows": mel.astype("<f4"),
        "columns": np.asfortranarray(mel),
        "turned": np.ascontiguousarray(mel.T),
        "turned columns": np.asfortranarray(mel.T.astype(">f4")),
        "batch": mel[None],
        "whole numbers": np.zeros((6, 3), int),
        "bands": mel[:, :2],
        "nan": np.full((6, 3), np.nan),
    }
    for name, array in saved.items():
        np.save(tmp_path / f"{name}.npy", array)
    code = """
      import { readFileSync } from "node:fs";
      import { readNpy, rowsOf } from "./npy.js";
      say(given.map((path) => {
        const bytes = readFileSync(path);
        const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
        try { return [...rowsOf(readNpy(buffer), [5, 3])]; } catch (error) { return error.message; }
      }));
    """
    got = computed(scripts, code, [str(tmp_path / f"{name}.npy") for name in saved])
    found = dict(zip(saved, got, strict=True))
    for name in ("rows", "columns", "turned", "turned columns", "batch"):
        rows = np.array(found[name], float).reshape(6, 5)
        np.testing.assert_allclose(rows[:, :3], mel, rtol=1e-6, err_msg=name)
        assert np.isnan(rows[:, 3:]).all()
    assert "floats" in found["whole numbers"]
    assert "(frames, 5 or 3)" in found["bands"]
    assert "NaN" in found["nan"]


def test_the_scripts_name_no_address_and_export_without_npm_says_the_way_out(monkeypatch, tmp_path):
    for path in OWN.iterdir():
        assert "//" not in path.read_text().replace("// ", ""), path.name
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"found none on PATH.*Node\.js.*distill serve"):
        fetch_runtime(tmp_path)


def test_a_folder_that_is_no_page_is_not_replaced(tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "letter.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no page of a student"):
        write_page(tmp_path / "page", [], [], fetch=False)
    assert (tmp_path / "page" / "letter.txt").read_text() == "mine"
