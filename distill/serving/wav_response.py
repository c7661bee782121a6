"""HTTP answers of sound: a wav file at once, or one that is sent while it is made."""

from __future__ import annotations

import asyncio
import io
import logging
import struct
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import soundfile
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from distill.errors import one_line
from distill.serving.answers import GoneError, unless_gone

_LOG = logging.getLogger(__name__)
_OPEN = 0xFFFFFFFF
"""A length that is not known yet, as programs that write wav into pipes leave it."""


def wav(parts: Sequence[np.ndarray], rate: int) -> bytes:
    """Return the content of a wav file of 16-bit samples."""
    file = io.BytesIO()
    soundfile.write(file, np.concatenate(parts), rate, "PCM_16", format="WAV")
    return file.getvalue()


def open_head(rate: int) -> bytes:
    r"""Return the 44 bytes before 16-bit samples of one channel whose number is not known yet.

    Arguments:
        rate: Samples per second.

    Example:
        >>> open_head(16000)[:12], len(open_head(16000))
        (b'RIFF\xff\xff\xff\xffWAVE', 44)
    """
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    riff, data = (struct.pack("<4sI", name, _OPEN) for name in (b"RIFF", b"data"))
    return riff + b"WAVE" + form + data


class WavResponse(Response):
    """A wav file of open length, sent in HTTP chunks while it is made.

    Its status is 200 before all of it is there: what goes wrong later cuts the line without the
    last chunk, which HTTP clients report. A client that hangs up ends the work.

    Arguments:
        first: 16-bit samples that are there.
        parts: Those that follow, piece by piece.
        rate: Samples per second.
        held: What is given back after the last of them.
        seconds: For all of it.
        headers: Of the answer.
    """

    media_type = "audio/wav"

    def __init__(
        self,
        first: np.ndarray,
        parts: AsyncGenerator[np.ndarray, None],
        rate: int,
        held: ExitStack,
        seconds: float,
        headers: Mapping[str, str],
    ) -> None:
        self.first, self.parts, self.rate = first, parts, rate
        self.held, self.seconds = held, seconds
        self.status_code, self.background = 200, None
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self.held:
            try:
                await unless_gone(Request(scope, receive), self._send(send), self.seconds)
            except (GoneError, OSError):
                pass
            except asyncio.CancelledError:
                _LOG.warning("an answer broke off: the server ends.")
            except Exception as error:
                _LOG.warning("an answer broke off: %s", one_line(error))
            finally:
                await self.parts.aclose()

    async def _send(self, send: Send) -> None:
        head = [header for header in self.raw_headers if header[0] != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        content = open_head(self.rate) + self.first.tobytes()
        await send({"type": "http.response.body", "body": content, "more_body": True})
        async for part in self.parts:
            await send({"type": "http.response.body", "body": part.tobytes(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
