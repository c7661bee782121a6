"""The page without a server, in a headless browser: Python's samples, sound, and mistakes."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By

from distill.data.audio.inputs import read_input
from distill.export import ONNX, accept, load, verify
from distill.export.sidecar import sidecar
from distill.files import write_json
from distill.serving.examples import Example
from distill.serving.static_page import weights_of_page, write_page
from tests.export.students import SPEAKER, finding

from .browsing import PAINTED, browser, browsing, text, wait
from .conftest import BANDS, RATE, spec, tiny

npm = pytest.mark.skipif(not shutil.which("npm"), reason="no npm on PATH")


@pytest.fixture(scope="module")
def site(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of a static host, with a page of a student below it and one recording."""
    home = tmp_path_factory.mktemp("site")
    path = shutil.copyfile(student, home / "student.onnx")
    exported = load(path)
    report = verify(exported, tiny(spec()), "onnx")
    write_json(Path(f"{path}.json"), sidecar(path.name, exported.metadata, report))
    time = np.arange(RATE // 2) / RATE
    wave = 0.3 * np.sin(2 * np.pi * (200 + 900 * time) * time)
    soundfile.write(home / "chirp.wav", wave, RATE, "PCM_16")
    page = home / "below" / "page"
    page.parent.mkdir()
    try:
        write_page(page, [path], [Example("chirp", {"reference": home / "chirp.wav"})])
    except ValueError as error:
        pytest.skip(str(error))
    return home


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A plain static host."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def page(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Return a browser that has opened the page on a static host."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        try:
            with browsing(tmp_path_factory.mktemp("profile")) as driver:
                driver.set_script_timeout(60)
                driver.get(f"http://127.0.0.1:{host.server_port}/below/page/")
                wait(driver, "!document.getElementById('start').disabled")
                yield driver
        finally:
            host.shutdown()
            thread.join()


SPOKEN = """
  const [file, rows, width, chunk, settings] = arguments, done = arguments[arguments.length - 1];
  const worker = new Worker("./worker.js", { type: "module" }), parts = [];
  const numbers = (values) => Float32Array.from(values, (value) => value ?? NaN);
  fetch(`${file}.json`).then((answer) => answer.json()).then((about) => {
    worker.onmessage = ({ data }) => {
      if (data.type === "ready") {
        worker.postMessage({ type: "speak", rows: numbers(rows), width, chunk, settings });
      } else if (data.type === "samples") parts.push([...data.samples]);
      else { worker.terminate(); done(data.type === "end" ? parts : data.message); }
    };
    worker.postMessage({ type: "load", threads: 1, about: { ...about, file } });
  });
"""


def spoken(
    page: webdriver.Chrome, file: str, rows: np.ndarray, chunk: int, **settings: object
) -> list[np.ndarray]:
    """Return the samples of each chunk, drawn in the browser's worker."""
    plain = [None if np.isnan(value) else float(value) for value in rows.ravel()]
    parts = page.execute_async_script(SPOKEN, file, plain, rows.shape[1], chunk, settings)
    assert isinstance(parts, list), parts
    return [np.float32(part) for part in parts]


@npm
@browser
def test_the_browser_draws_pythons_samples_in_chunks_of_any_length(page, site):
    mel = np.random.default_rng(0).normal(size=(11, BANDS)).astype(np.float32) - 1
    wanted = load(site / "student.onnx").synthesize(mel, seed=5, temperature=0.8)[0]
    assert wanted.abs().max() > 0.01
    for chunk in (1, 4, 50):
        parts = spoken(page, "student.onnx", mel, chunk, seed=5, temperature=0.8)
        assert len(parts) >= 9 / chunk
        np.testing.assert_allclose(np.concatenate(parts), wanted, rtol=0, atol=1e-4)


@npm
@browser
@pytest.mark.slow
def test_a_whitened_student_of_three_speakers_finds_its_pitch_in_the_browser_too(page, site):
    flow = finding(block=8, hop=8, speaker=SPEAKER)
    path, _ = accept(ONNX(), flow, site / "whitened")
    for file in (path, Path(f"{path}.json")):
        shutil.copyfile(file, site / "below" / "page" / file.name.replace("student", "whitened"))
    mel = np.random.default_rng(0).normal(size=(11, 8)).astype(np.float32) * 2 - 1
    rows = np.concatenate([mel, np.full((11, 4), np.nan, np.float32)], 1)
    wanted = load(path).synthesize({"mel": mel, "speaker": 2}, seed=5)[0]
    assert wanted.abs().max() > 0.01
    for chunk in (1, 4, 50):
        labels = {"speaker": 2}
        parts = spoken(page, "whitened.onnx", rows, chunk, seed=5, temperature=1, labels=labels)
        np.testing.assert_allclose(np.concatenate(parts), wanted, rtol=0, atol=1e-4)


def heard(page: webdriver.Chrome) -> np.ndarray:
    """Return the samples in the last card's player."""
    script = """
      const done = arguments[0], [audio] = [...document.querySelectorAll("audio")].slice(-1);
      fetch(audio.src).then((answer) => answer.arrayBuffer())
        .then((bytes) => done([...new Int16Array(bytes.slice(44))]));
    """
    return np.array(page.execute_async_script(script)) / 32768


@npm
@browser
def test_a_recording_is_copied_as_python_copies_it_and_played_by_an_audio_thread(page, site):
    page.find_element(By.ID, "start").click()
    wait(page, "document.getElementById('status').textContent.startsWith('Spoke 0.50 s')")
    wait(page, "/^[0-9]+$/.test(document.getElementById('underruns').textContent)")
    exported = load(site / "student.onnx")
    features, _ = read_input(site / "chirp.wav", exported.metadata.spec)
    wanted = exported.synthesize(features, seed=0)[0].clamp(-1, 1)
    np.testing.assert_allclose(heard(page), wanted, rtol=0, atol=1e-4)
    titles = [node.text for node in page.find_elements(By.CSS_SELECTOR, ".sound h3")]
    assert titles == ["Reference", "Student"]
    for canvas in page.find_elements(By.TAG_NAME, "canvas"):
        assert page.execute_script(PAINTED, canvas) >= 2
    assert float(text(page, "factor").split()[0]) > 0
    assert "1 thread " in text(page, "about")
    assert not text(page, "error")


@npm
@browser
def test_a_file_of_ones_own_speaks_and_a_bad_one_is_explained(page, tmp_path):
    upload = page.find_element(By.ID, "file")
    np.save(tmp_path / "bad.npy", np.zeros((10, 7), np.float32))
    np.save(tmp_path / "good.npy", np.zeros((50, BANDS), np.float32))
    (tmp_path / "noise.wav").write_bytes(b"no sound at all")
    soundfile.write(tmp_path / "low.wav", np.zeros(100), 4000)
    for name, words in (
        ("bad.npy", f"(frames, {BANDS})"),
        ("noise.wav", "can be decoded"),
        ("low.wav", "4000 Hz"),
    ):
        upload.send_keys(str(tmp_path / name))
        wait(page, f"document.getElementById('error').textContent.includes({words!r})")
        assert page.find_element(By.ID, "start").get_property("disabled")
    upload.send_keys(str(tmp_path / "good.npy"))
    wait(page, "!document.getElementById('start').disabled")
    assert not text(page, "error")
    page.find_element(By.ID, "start").click()
    wait(page, "document.getElementById('status').textContent.startsWith('Spoke 0.40 s')")


@npm
@browser
def test_the_browser_has_nothing_to_complain_about_and_the_folder_says_what_it_is(page, site):
    assert not [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    folder = site / "below" / "page"
    assert weights_of_page(folder) == load(folder / "student.onnx").metadata.weights
    if shot := os.environ.get("DISTILL_SCREENSHOT"):
        page.save_screenshot(shot)
