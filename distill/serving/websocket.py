"""The websocket of the server: frames in, samples out."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from distill.errors import one_line
from distill.frames import FrameLayout
from distill.serving.http_error import HTTPError
from distill.serving.json_once import read_json
from distill.serving.limits import Limits
from distill.serving.metrics import StreamMetrics
from distill.serving.pool import WorkerPool
from distill.serving.sinks import finite, pcm
from distill.serving.synthesizer import Connection, SynthesisSettings, Synthesizer
from distill.serving.tokens import PROTOCOL
from distill.serving.voices import Voices

_LOG = logging.getLogger(__name__)
_CODES = {408: 1008, 413: 1009, 503: 1013}
"""What a websocket calls these statuses; anything else is 1007, data that makes no sense."""


async def serve_connection(
    socket: WebSocket, voices: Voices, pool: WorkerPool, limits: Limits
) -> None:
    """Serve one client.

    1. The client sends a JSON object of settings (`{}` will do), and gets `{"type": "ready", ...}`.
       `{"without": ["f0", "phase"]}` says that frames come without these, which the model finds,
       `{"voice": "anna"}` who speaks.
    2. Each message of frames (little-endian float32, the features of a frame side by side) is
       answered by one message of samples: those that are ready, at first none while the look-ahead
       fills.
    3. `{"type": "end"}` is answered by the last samples, then `{"type": "stats", ...}`,
       with a `remark` where the mel is likely of another scale.

    A mistake is answered by `{"type": "error", "error": "one line"}`, and the end.

    Arguments:
        socket: Not yet accepted.
        voices: Who speaks.
        pool: Where the client takes a place.
        limits: Of messages, duration and patience.
    """
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(PROTOCOL if PROTOCOL in offered else None)  # never the one with a token
    try:
        with pool.place(), pool.metrics.streams.track_inprogress():
            await _serve(socket, voices, limits)
    except (WebSocketDisconnect, ConnectionError):
        return
    except ValueError as error:
        status = error.status if isinstance(error, HTTPError) else 400
        await _say_goodbye(socket, _CODES.get(status, 1007), one_line(error), limits)
    except Exception as error:
        _LOG.exception("stream")
        line = f"{type(error).__name__}: a bug in the server; its log has more."
        await _say_goodbye(socket, 1011, line, limits)


async def _serve(socket: WebSocket, voices: Voices, limits: Limits) -> None:
    wanted = _object(await _next(socket, limits))
    synthesizer = voices.named(wanted)
    layout = synthesizer.layout
    settings = SynthesisSettings.read(wanted, layout, streamed=True)
    layout = layout.holding(set(layout.optional) - set(settings.without))
    connection = await synthesizer.connect(settings)
    metrics = StreamMetrics(layout.rate)
    await _send(socket, _ready(synthesizer, settings, layout), limits)
    frames, waited = 0, 0.0
    while True:
        asked = time.monotonic()
        message = await _next(socket, limits)
        began = time.monotonic()
        waited += began - asked
        if waited > limits.upload + limits.pace * layout.seconds(frames):
            raise HTTPError(
                408, f"stream: slower than a {limits.pace:g}th of real time; its place is wanted."
            )
        if isinstance(message, str):
            if _object(message) != {"type": "end"}:
                raise ValueError('message: wanted frames, or {"type": "end"}.')
            break
        rows = _rows(message, layout)
        frames += len(rows)
        if layout.seconds(len(rows)) > limits.message_seconds:
            raise HTTPError(
                413, f"message: longer than the limit of {limits.message_seconds:g} s of frames."
            )
        if layout.seconds(frames) > limits.stream_seconds:
            raise HTTPError(413, f"stream: longer than the limit of {limits.stream_seconds:g} s.")
        await _answer(socket, await connection.push(rows), settings, metrics, began, limits)
    if not frames:
        raise ValueError("stream: it ended without a frame.")
    await _finish(socket, synthesizer, connection, settings, metrics, began, limits)


async def _finish(
    socket: WebSocket,
    synthesizer: Synthesizer,
    connection: Connection,
    settings: SynthesisSettings,
    metrics: StreamMetrics,
    began: float,
    limits: Limits,
) -> None:
    await _answer(socket, await connection.finish(), settings, metrics, began, limits)
    numbers = {k: v for k, v in metrics.numbers().items() if k != "underruns"}  # theirs to count
    synthesizer.finished(numbers["real_time_factor"])
    remark = {"remark": connection.remark} if connection.remark else {}
    await _send(socket, {"type": "stats", "seed": settings.seed, **numbers, **remark}, limits)
    await socket.close()


async def _answer(
    socket: WebSocket,
    samples: np.ndarray,
    settings: SynthesisSettings,
    metrics: StreamMetrics,
    began: float,
    limits: Limits,
) -> None:
    content = pcm(samples) if settings.format == "int16" else finite(samples.astype("<f4"))
    now = time.monotonic()
    metrics.add(now - began, len(samples), now)
    await _send(socket, content.tobytes(), limits)


def _ready(
    synthesizer: Synthesizer, settings: SynthesisSettings, layout: FrameLayout
) -> dict[str, Any]:
    return {
        "type": "ready",
        "voice": synthesizer.name,
        "sample_rate": layout.rate,
        "hop": layout.hop,
        "latency_seconds": layout.seconds(synthesizer.exported.metadata.latency),
        "frame": [{"name": name, "size": size} for name, size in layout.sizes.items()],
        "format": settings.format,
        "seed": settings.seed,
    }


def _rows(message: bytes, layout: FrameLayout) -> np.ndarray:
    size = 4 * layout.width
    if not message or len(message) % size:
        raise ValueError(
            f"message: wanted whole frames of {size} bytes ({layout.width} float32 numbers: "
            f"{layout}), got {len(message)} bytes."
        )
    rows = np.frombuffer(message, "<f4").reshape(-1, layout.width)
    return layout.complete(layout.rows(rows, "message"))


def _object(message: str | bytes) -> dict[str, Any]:
    found, why = None, ""
    try:
        found = read_json(message) if isinstance(message, str) else None
    except (ValueError, RecursionError) as error:
        why = f" ({error})"
    if not isinstance(found, dict):
        raise ValueError(f'message: wanted a JSON object first, as in {{"seed": 0}}{why}.')
    return found


async def _next(socket: WebSocket, limits: Limits) -> str | bytes:
    try:
        async with asyncio.timeout(limits.upload):
            message = await socket.receive()
    except TimeoutError:
        raise HTTPError(408, f"stream: no message for {limits.upload:g} s.") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    text = message.get("text")
    return message["bytes"] if text is None else text


async def _send(socket: WebSocket, content: bytes | dict[str, Any], limits: Limits) -> None:
    """Send, but not for ever: a client that does not read must not hold its place."""
    try:
        async with asyncio.timeout(limits.upload):
            if isinstance(content, bytes):
                await socket.send_bytes(content)
            else:
                await socket.send_json(content)
    except (TimeoutError, RuntimeError):
        raise WebSocketDisconnect(1006) from None


async def _say_goodbye(socket: WebSocket, code: int, line: str, limits: Limits) -> None:
    if socket.application_state != WebSocketState.CONNECTED:
        return
    try:
        await _send(socket, {"type": "error", "error": line}, limits)
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError, ConnectionError):
        return
