"""A real headless browser for the tests of pages, where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
browser = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no chromium and chromedriver on PATH"
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update "
    "--autoplay-policy=no-user-gesture-required --window-size=1200,1500"
)
PAINTED = """
  const canvas = arguments[0], data = canvas.getContext("2d")
    .getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 3).join());
  return seen.size;
"""


@contextmanager
def browsing(profile: Path) -> Iterator[webdriver.Chrome]:
    """Start a browser whose traces go into a folder, and end it."""
    options = Options()
    options.binary_location = BROWSER or ""
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def wait(page: webdriver.Chrome, script: str) -> None:
    """Wait until an expression of the page is true."""
    WebDriverWait(page, 20, poll_frequency=0.05).until(
        lambda driver: driver.execute_script(f"return {script}"), f"{script}: {text(page, 'error')}"
    )


def text(page: webdriver.Chrome, name: str) -> str:
    """Return the text of an element."""
    return page.find_element(By.ID, name).text
