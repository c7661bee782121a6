"""How corpora lie on disk: any folder, spoken digits."""

from __future__ import annotations

import re
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
