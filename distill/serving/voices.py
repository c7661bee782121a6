"""The voices of a server: samplers by name, which share its workers and its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distill.errors import suggest
from distill.export import Exported
from distill.serving.examples import Example
from distill.serving.http_error import HTTPError
from distill.serving.pool import WorkerPool
from distill.serving.synthesizer import Synthesizer

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Voice:
    """What a voice speaks with.

    Arguments:
        exported: The sampler.
        examples: Clips for the page.
    """

    exported: Exported
    examples: tuple[Example, ...] = ()


class Voices:
    """Synthesizers by the names of their voices; a client that names none gets the first.

    Arguments:
        voices: By name, one at least.
        pool: Whose threads compute for all of them.

    Errors:
        ValueError: None; a name that does not fit into an address; a sampler that does not turn
            frames into sound.
    """

    def __init__(self, voices: Mapping[str, Voice], pool: WorkerPool) -> None:
        check_names(voices)
        self._all = {
            name: Synthesizer(voice.exported, pool, name) for name, voice in voices.items()
        }

    @property
    def names(self) -> list[str]:
        """Names, the first one's first."""
        return list(self._all)

    def named(self, given: Mapping[str, Any]) -> Synthesizer:
        """Return who speaks for a client, by `voice` of its query or settings.

        Errors:
            HTTPError: There is no such voice (404).
        """
        name = given.get("voice", self.names[0])
        if not isinstance(name, str) or name not in self._all:
            known = self.names
            raise HTTPError(
                404,
                f"voice: no {str(name)[:40]!r} here.{suggest(str(name)[:40], known)} There are: "
                f"{', '.join(known)}.",
            )
        return self._all[name]

    @property
    def widest(self) -> Synthesizer:
        """The voice whose second of frames is the most bytes."""
        layouts = {name: voice.layout for name, voice in self._all.items()}
        return self._all[
            max(layouts, key=lambda n: layouts[n].width * layouts[n].rate / layouts[n].hop)
        ]


def check_names(names: Mapping[str, Any]) -> None:
    """Raise unless there are names, and each fits into an address as it is.

    Errors:
        ValueError: There is none, or one with other than letters, digits, `_`, `.` and `-`.
    """
    if not names:
        raise ValueError("voices: wanted one or more, as in voices={anna: a.onnx}, got none.")
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"voices: wanted names of letters, digits, _, . and -, got {name!r}. Call it "
                "something else."
            )
