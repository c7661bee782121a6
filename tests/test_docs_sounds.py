"""The page docs/listen.md has the sounds that it plays, with and without a run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from sphinx.application import Sphinx
from sphinx.errors import ConfigError

from building import sounds
from distill.data.audio import LogMel
from tests.test_readme import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the page, strictly, of a run with two clips, and one of other data."""
    root = tmp_path_factory.mktemp("sounds")
    for name, clip in (("evaluate", "_10"), ("evaluate", "_2"), ("evaluate-other", "")):
        audio, figures = (root / "voice" / name / kind for kind in ("audio", "figures"))
        for folder in (audio, figures):
            folder.mkdir(parents=True, exist_ok=True)
        picture = ROOT / "scripts" / "figures" / "tones.png"
        shutil.copyfile(picture, figures / f"spectrograms{clip}.png")
        for kind in ("student", "reference", "unknown"):
            soundfile.write(audio / f"{kind}{clip}.wav", np.zeros(80), 8_000)
    pages, played = root / "pages", root / "site" / "_static" / "sounds"
    for folder in (pages, played):
        folder.mkdir(parents=True)
    (played / "of_another_run.wav").touch()
    shutil.copyfile(ROOT / "docs" / "listen.md", pages / "listen.md")
    extensions = ["myst_parser", "building.sounds"]
    options = {"extensions": extensions, "root_doc": "listen", "run": str(root / "voice")}
    app = Sphinx(pages, None, root / "site", root / "trees", "html", options, None, None)
    app.build()
    assert app._warncount == 0
    return root / "site"


def test_every_sound_of_the_page_is_there_and_a_run_is_played_in_order(site: Path) -> None:
    played = re.findall(r'<audio [^>]*src="([^"]+)"', (site / "listen.html").read_text())
    there = {path.relative_to(site).as_posix() for path in site.rglob("*.wav")}
    assert there == set(played)
    assert all(soundfile.info(site / path).frames for path in played)
    clips = ("evaluate_2", "evaluate_10", "evaluate-other")
    wanted = [f"{clip}_{kind}" for clip in clips for kind in ("reference", "student")]
    assert [Path(path).stem for path in played] == ["tone", "griffin_lim", "closed_form", *wanted]


def test_the_closed_form_has_the_mel_of_the_clip_and_not_its_phases(site: Path) -> None:
    sound = site / "_static" / "sounds"
    clip, rate = soundfile.read(sound / "tone.wav")
    bare, _ = soundfile.read(sound / "closed_form.wav")
    noise = np.random.default_rng(0).normal(0, clip.std(), clip.shape)
    wanted, got, other = LogMel.usual(rate)(torch.from_numpy(np.stack([clip, bare, noise])), rate)
    loud = wanted.mean(1) > -6
    assert (got - wanted)[loud].abs().mean() < 1 < 2 < (other - wanted)[loud].abs().mean()
    assert abs(np.corrcoef(clip, bare)[0, 1]) < 0.2


def test_a_run_without_sounds_says_what_to_do_first(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="distill evaluate run="):
        sounds.of_run(tmp_path, tmp_path, tmp_path)
