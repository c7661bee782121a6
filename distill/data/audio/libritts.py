"""The layout of LibriTTS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.data.audio.layouts import Layout, Listing
from distill.data.audio.listing import audio_files
from distill.data.audio.preparation import Source


@dataclass
class LibriTTS(Layout):
    """LibriTTS and LibriTTS-R: `SUBSET/SPEAKER/CHAPTER/SPEAKER_CHAPTER_N_M.wav`.

    The folder is the corpus, one that holds it (`LibriTTS`, `LibriTTS_R`), or with no subsets any
    folder of speakers. Names begin with the subset.

    Arguments:
        subsets: To use, as in `[train-clean-100, train-clean-360]`; empty for all that are there.

    Errors:
        FileNotFoundError: A subset is not there.

    Source: Zen et al., LibriTTS, 2019, arXiv 1904.02882, CC BY 4.0.
    """

    subsets: Sequence[str] = ()

    def sources(self, root: Path) -> Listing:
        """Return the recordings of the subsets."""
        inner = [root / name for name in ("LibriTTS", "LibriTTS_R") if (root / name).is_dir()]
        home = inner[0] if inner else root
        lacking = [name for name in self.subsets if not (home / name).is_dir()]
        if lacking:
            there = ", ".join(sorted(p.name for p in home.glob("*-*") if p.is_dir())) or "none"
            raise FileNotFoundError(
                f"{home}: no subset {', '.join(lacking)} there, only {there}. Set "
                "data.layout.subsets to those that you have."
            )
        found, left = [], {}
        for path, name in audio_files(home):
            folders = name.split("/")
            if self.subsets and folders[0] not in self.subsets:
                continue
            if len(folders) < 3 or folders[-1].split("_")[0] != folders[-3]:
                left[name] = "another name: wanted SPEAKER/CHAPTER/SPEAKER_CHAPTER_N_M"
                continue
            found.append(Source(path, name, folders[-3]))
        return found, left
