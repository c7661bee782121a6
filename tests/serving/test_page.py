"""The page in a real headless browser: it plays, draws, streams, measures, and shows mistakes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from selenium import webdriver
from selenium.webdriver.common.by import By

from distill.serving.app import PAGE
from distill.serving.examples import find_examples
from distill.serving.tokens import Token
from distill.serving.voice import Voice

from .browsing import PAINTED, browser, browsing, text, wait
from .conftest import BANDS, CLIENT, HOP, RATE

DRAWN = 'return [...document.querySelectorAll(".wave")].pop().toDataURL()'


@pytest.fixture(scope="module")
def page(serving, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Return a browser that has opened the page of a server with one example."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "chirp").mkdir()
    time = np.arange(RATE) / RATE
    levels = {"reference": 0.5, "griffin_lim": 0.2, "teacher": 0.4, "student": 0.3}
    for kind, level in levels.items():
        wave = level * np.sin(2 * np.pi * (200 + 700 * time) * time)
        soundfile.write(folder / "chirp" / f"{kind}.wav", wave, RATE, "PCM_16")
    with (
        serving(examples=find_examples(folder)) as address,
        browsing(tmp_path_factory.mktemp("profile")) as driver,
    ):
        driver.get(f"http://{address}/")
        yield driver


def stream(page: webdriver.Chrome, pace: str = "fast") -> None:
    page.find_element(By.CSS_SELECTOR, f"#pace option[value={pace}]").click()
    wait(page, "!document.getElementById('start').disabled")
    page.find_element(By.ID, "start").click()
    wait(page, "document.getElementById('status').textContent.includes('In the server')")


@browser
def test_the_page_plays_and_draws_reference_teacher_and_student(page):
    wait(page, "!document.getElementById('start').disabled")
    titles = [node.text for node in page.find_elements(By.CSS_SELECTOR, ".sound h3")]
    assert titles == ["Reference", "Griffin-Lim", "Teacher", "Student, evaluated"]
    for canvas in page.find_elements(By.CSS_SELECTOR, ".sound canvas"):
        assert page.execute_script(PAINTED, canvas) > 2
        assert canvas.get_attribute("aria-label")
    page.execute_script("document.querySelector('.sound audio').play()")
    wait(page, "document.querySelector('.sound audio').currentTime > 0")
    assert page.execute_script("return document.querySelector('.sound audio').duration") == 1


@browser
def test_the_page_streams_the_student_and_shows_what_it_measured(page):
    stream(page)
    assert 0 < float(text(page, "p50").split()[0]) <= float(text(page, "p99").split()[0])
    assert float(text(page, "factor").split()[0]) > 0
    assert "seed 0" in text(page, "status")
    live = page.find_elements(By.CSS_SELECTOR, ".sound")[-1]
    assert live.find_element(By.TAG_NAME, "h3").text == "Student, live"
    assert "1.00 s" in live.text
    for canvas in (
        *live.find_elements(By.TAG_NAME, "canvas"),
        page.find_element(By.ID, "latencies"),
    ):
        assert page.execute_script(PAINTED, canvas) >= 2
    assert not page.find_element(By.ID, "error").is_displayed()
    pictures = [page.execute_script(DRAWN)]
    for seed in ("0", "1"):
        page.execute_script("document.getElementById('seed').value = arguments[0]", seed)
        stream(page)
        pictures.append(page.execute_script(DRAWN))
    assert pictures[0] == pictures[1] != pictures[2]


@browser
def test_a_file_of_ones_own_is_streamed_and_a_bad_one_explained(page, tmp_path: Path):
    np.save(tmp_path / "bad.npy", np.zeros((10, 7), np.float32))
    np.save(tmp_path / "good.npy", np.zeros((50, BANDS), np.float32))
    upload = page.find_element(By.ID, "file")
    upload.send_keys(str(tmp_path / "bad.npy"))
    wait(page, "!document.getElementById('error').hidden")
    assert f"{BANDS} of mel" in text(page, "error")
    upload.send_keys(str(tmp_path / "good.npy"))
    wait(page, "!document.getElementById('start').disabled")
    assert not page.find_element(By.ID, "error").is_displayed()
    stream(page, "realtime")
    assert "0.40 s" in page.find_element(By.CSS_SELECTOR, ".sound").text
    temperature = page.find_element(By.ID, "temperature")
    page.execute_script("arguments[0].value = 99; arguments[0].max = 100", temperature)
    page.find_element(By.ID, "start").click()
    wait(page, "!document.getElementById('error').hidden")
    assert "from 0 to 10" in text(page, "error")


@browser
def test_a_token_is_asked_for_and_a_voice_can_be_chosen(serving, exported, tmp_path: Path):
    secret = "long-enough-for-a-token"
    voices = {"anna": Voice(exported), "ben": Voice(exported)}
    np.save(tmp_path / "mel.npy", np.zeros((50, BANDS), np.float32))
    with (
        serving(voices=voices, token=Token(secret)) as address,
        browsing(tmp_path / "profile") as driver,
    ):
        driver.get(f"http://{address}/")
        wait(driver, "!document.getElementById('enter').hidden")
        assert "token" in text(driver, "error")
        driver.find_element(By.ID, "token").send_keys(secret)
        driver.find_element(By.CSS_SELECTOR, "#enter button").click()
        wait(driver, "document.getElementById('enter').hidden")
        wait(driver, "document.getElementById('voice').options.length == 2")
        driver.find_element(By.CSS_SELECTOR, "#voice option[value=ben]").click()
        wait(driver, "document.getElementById('voice').value == 'ben'")
        driver.find_element(By.ID, "file").send_keys(str(tmp_path / "mel.npy"))
        stream(driver)
        got = CLIENT.get(f"http://{address}/metrics", headers={"Authorization": f"Bearer {secret}"})
    assert f'distill_samples_total{{voice="ben"}} {50 * HOP}.0' in got.text


@browser
def test_the_browser_had_nothing_to_complain_about(page):
    refused = [entry for entry in page.get_log("browser") if "/features" not in entry["message"]]
    assert not refused


def test_the_page_names_no_address_beyond_its_own_server():
    for path in PAGE.iterdir():
        content = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in content.replace("// ", "").replace("`${scheme}//", ""), path.name
    assert {path.suffix for path in PAGE.iterdir()} == {".html", ".css", ".js", ".svg"}


if shot := os.environ.get("DISTILL_SCREENSHOT"):

    @browser
    def test_a_picture_is_taken_where_one_is_asked_for(page):
        page.get(page.current_url)
        stream(page, "realtime")
        page.save_screenshot(shot)
