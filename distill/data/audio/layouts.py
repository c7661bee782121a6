"""How corpora lie on disk: any folder, LJ Speech, spoken digits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from distill.data.audio.listing import audio_files
from distill.data.audio.preparation import Source

Listing = tuple[list[Source], dict[str, str]]
"""The files of a corpus, and the reasons for those that don't belong, by name."""


class Layout:
    """Finds a corpus's files and says who speaks and what.

    Attributes:
        labels: Names of the labels, if it has any.
    """

    labels: tuple[str, ...] = ()

    def sources(self, root: Path) -> Listing:
        """Return the files below a folder, in order, and what is left out already."""
        raise NotImplementedError(f"{type(self).__name__} does not define sources.")


class AnyFolder(Layout):
    """Every audio file of a folder and below; the topmost folder inside it is the speaker."""

    def sources(self, root: Path) -> Listing:
        """Return the files below a folder."""
        return [
            Source(path, name, name.partition("/")[0] if "/" in name else None)
            for path, name in audio_files(root)
        ], {}


class Digits(Layout):
    """Spoken digits, `{digit}_{speaker}_{index}.wav`, as the Free Spoken Digit Dataset has them.

    The folder is the data set's, or the `recordings` inside it.
    """

    labels = tuple("0123456789")

    def sources(self, root: Path) -> Listing:
        """Return the files whose names follow the rule."""
        inner = root / "recordings"
        root = inner if inner.is_dir() else root
        found, left = [], {}
        for path, name in audio_files(root):
            parts = re.fullmatch(r"(\d)_(.+)_(\d+)", Path(path).stem)
            if parts:
                found.append(Source(path, name, parts[2], int(parts[1])))
            else:
                left[name] = "another name: wanted {digit}_{speaker}_{index}"
        return found, left


@dataclass
class LJSpeech(Layout):
    """The LJ Speech corpus: `metadata.csv` beside `wavs/`, read by torchaudio.

    The folder is `LJSpeech-1.1` or the one that holds it. Recordings that the metadata does not
    list are used as well; those it lists and that are missing are reported.

    Arguments:
        download: Fetch the corpus (2.6 GB) into the folder if it is not there.

    Errors:
        FileNotFoundError: The corpus is not there, and not to be fetched.

    Source: Ito and Johnson, The LJ Speech Dataset, 2017, public domain.
    """

    download: bool = False

    def sources(self, root: Path) -> Listing:
        """Return the recordings."""
        from torchaudio.datasets import LJSPEECH

        if (root / "wavs").is_dir():
            home, name = root.resolve().parent, root.resolve().name
        else:
            home, name = root, "LJSpeech-1.1"
        folder = home / name
        if not (folder / "wavs").is_dir() and not self.download:
            raise FileNotFoundError(
                f"{root}: no LJ Speech there; wanted {name}/wavs and {name}/metadata.csv. Fetch "
                "it with data.layout.download=true, or read any folder with data=audio."
            )
        if not (folder / "wavs").is_dir():
            home.mkdir(parents=True, exist_ok=True)
            listed = LJSPEECH(home, download=True)
        elif (folder / "metadata.csv").is_file():
            # torchaudio names the folder after the archive.
            listed = LJSPEECH(home, url=f"{name}.tar.bz2")
        else:
            listed = None
        wavs = folder / "wavs"
        found = [Source(path, name, "LJ") for path, name in audio_files(wavs)]
        have = {Path(source.path).stem for source in found}
        names = [row[0] for row in listed._flist if row] if listed is not None else []
        missing = [name for name in names if name not in have]
        return found, dict.fromkeys(missing, "missing: metadata.csv lists it")
