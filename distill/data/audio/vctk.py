"""The layout of VCTK."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from distill.data.audio.layouts import Layout, Listing
from distill.data.audio.listing import audio_files
from distill.data.audio.preparation import Source

_FOLDERS = ("wav48_silence_trimmed", "wav48")


@dataclass
class VCTK(Layout):
    """VCTK: `wav48_silence_trimmed/SPEAKER/SPEAKER_N_mic1.flac` (0.92), `wav48/...wav` before.

    The folder is the corpus, or the one of its recordings. Sentences that the microphone lacks (of
    p280 and p315 the second one) are reported.

    Arguments:
        mic: Microphone, 1 (omni-directional) or 2 (small diaphragm); before 0.92 there is one.

    Errors:
        ValueError: Another microphone.

    Source: Yamagishi, Veaux and MacDonald, CSTR VCTK Corpus 0.92, 2019, CC BY 4.0.
    """

    mic: int = 1

    def __post_init__(self) -> None:
        """Check the microphone."""
        if self.mic not in (1, 2):
            raise ValueError(f"VCTK: wanted mic 1 or 2, got {self.mic}.")

    def sources(self, root: Path) -> Listing:
        """Return the recordings of one microphone."""
        inner = [root / name for name in _FOLDERS if (root / name).is_dir()]
        root = inner[0] if inner else root
        found: dict[str, Source] = {}
        others, left = set(), {}
        for path, name in audio_files(root):
            parts = re.fullmatch(r"(\w+?)_(\d+)(?:_mic(\d))?", Path(path).stem)
            if not parts:
                left[name] = "another name: wanted SPEAKER_N or SPEAKER_N_mic1"
                continue
            sentence = name.removesuffix(f"_mic{parts[3]}")
            if parts[3] in (None, str(self.mic)):
                found[sentence] = Source(path, sentence, parts[1])
            else:
                others.add(sentence)
        lacking = sorted(others - found.keys())
        return list(found.values()), left | dict.fromkeys(
            lacking, f"missing: no mic {self.mic} of this sentence"
        )
