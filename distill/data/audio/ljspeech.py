"""The LJ Speech corpus: where it comes from, and how it lies on disk."""

from __future__ import annotations

import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from torch.hub import download_url_to_file

from distill.data.audio.layouts import Layout, Listing
from distill.data.audio.listing import audio_files, first_column
from distill.data.audio.preparation import Source

NAME = "LJSpeech-1.1"
URL = f"https://data.keithito.com/data/speech/{NAME}.tar.bz2"
SHA256 = "be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5"


@dataclass
class LJSpeech(Layout):
    """The LJ Speech corpus: `metadata.csv` beside `wavs/`.

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
        folder = root if (root / "wavs").is_dir() else root / NAME
        if not (folder / "wavs").is_dir():
            if not self.download:
                raise FileNotFoundError(
                    f"{root}: no LJ Speech there; wanted {NAME}/wavs and {NAME}/metadata.csv. "
                    "Fetch it with data.layout.download=true, or read any folder with data=audio."
                )
            fetch(root)
        wavs = folder / "wavs"
        found = [Source(path, name, "LJ") for path, name in audio_files(wavs)]
        have = {Path(source.path).stem for source in found}
        missing = [name for name in _listed(folder / "metadata.csv") if name not in have]
        return found, dict.fromkeys(missing, "missing: metadata.csv lists it")


def fetch(root: Path) -> None:
    """Fetch the corpus into a folder: whole, or not at all.

    Errors:
        OSError: It can't be reached.
        RuntimeError: What came is another file.
    """
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetched-", dir=root) as place:
        archive = Path(place) / "corpus.tar.bz2"
        download_url_to_file(URL, str(archive), hash_prefix=SHA256)
        with tarfile.open(archive, encoding="utf-8") as tar:
            tar.extractall(place, filter="data")
        (Path(place) / NAME).rename(root / NAME)


def _listed(metadata: Path) -> list[str]:
    """Return the names in the first column of the metadata, if it is there."""
    return first_column(metadata.read_bytes(), "replace") if metadata.is_file() else []
