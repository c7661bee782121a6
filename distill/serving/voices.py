"""The voices of a server: samplers by name, which share its workers and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distill.errors import suggest
from distill.serving.http_error import HTTPError
from distill.serving.pool import WorkerPool
from distill.serving.synthesizer import Synthesizer
from distill.serving.voice import Voice, check_names


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
