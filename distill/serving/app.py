"""The synthesis server: mel or audio in, wav out; a websocket for chunks; a page to hear it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from distill.data.audio.given_frames import remark_on
from distill.errors import flat
from distill.serving.answers import answering, bug_answer, http_answer, unless_gone
from distill.serving.limits import Limits
from distill.serving.metering import MeteringMiddleware
from distill.serving.middleware import LOOPBACK, SameOriginMiddleware
from distill.serving.pool import WorkerPool
from distill.serving.receiving import receive
from distill.serving.server_metrics import Gather, ServerMetrics, alone, exposition
from distill.serving.sinks import pcm
from distill.serving.synthesizer import SynthesisSettings, Synthesizer, unknown_setting
from distill.serving.tokens import Token, TokenMiddleware
from distill.serving.unread import UnreadBodyMiddleware
from distill.serving.voice import Voice
from distill.serving.voices import Voices
from distill.serving.wav_response import WavResponse, wav
from distill.serving.websocket import serve_connection

PAGE = Path(__file__).parent / "page"


def application(
    voices: Mapping[str, Voice],
    limits: Limits | None = None,
    hosts: tuple[str, ...] | None = LOOPBACK,
    token: Token | None = None,
    gather: Gather = alone,
) -> Starlette:
    """Return the server as an ASGI application.

    - `POST /synthesize`: a body as in `read_body`; voice, seed, temperature, speaker, label in the
      query; answered by a 16-bit wav file, with `stream=true` while it is made.
    - `POST /features`: the same body, answered by the frames: float32 rows.
    - `/stream`: a websocket, see `serve_connection`.
    - `GET /about`: what is served, as JSON; of one voice, that in the query. `GET /`: the page.
    - `GET /health`: 200 where the next client would be served, else 503 and why.
    - `GET /metrics`: what `ServerMetrics` counts, as Prometheus text.

    A request that can't be served is answered by `{"error": "one line"}`.

    Arguments:
        voices: Who speaks, by name; the first where a client names none.
        limits: Of body, duration, clients and time, of all voices together.
        hosts: Names that the server goes by; `None` for any.
        token: What clients must send, see `TokenMiddleware`; `None` for nothing.
        gather: Returns what is counted; of other servers too, where several answer as one.

    Errors:
        ValueError: A sampler that does not turn frames into sound.
    """
    server = Server(voices, limits or Limits(), gather)
    app = Starlette(
        routes=[
            Route("/", server.page),
            Mount("/page", StaticFiles(directory=PAGE)),
            Route("/about", answering(server.about)),
            Route("/health", answering(server.health)),
            Route("/metrics", server.exposition),
            Route("/examples/{number}/{kind}.wav", server.example),
            Route("/synthesize", answering(server.synthesize), methods=["POST"]),
            Route("/features", answering(server.features), methods=["POST"]),
            WebSocketRoute("/stream", server.stream),
        ],
        middleware=[
            Middleware(UnreadBodyMiddleware),
            Middleware(MeteringMiddleware, metrics=server.metrics),
            Middleware(SameOriginMiddleware, hosts=hosts),
            Middleware(TokenMiddleware, token=token),
        ],
        exception_handlers={HTTPException: http_answer, Exception: bug_answer},
        lifespan=server.lifespan,
    )
    app.router.redirect_slashes = False  # no path has a second name
    app.state.server = server
    return app


class Server:
    """The endpoints; nothing is kept between requests but counts."""

    def __init__(self, voices: Mapping[str, Voice], limits: Limits, gather: Gather) -> None:
        self.limits, self.gather = limits, gather
        self.metrics = ServerMetrics()
        self.pool = WorkerPool(limits, self.metrics)
        self.voices = Voices(voices, self.pool)
        clips = [(name, clip) for name, voice in voices.items() for clip in voice.examples]
        self.examples = dict(enumerate(clips))

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Let threads, processes and what clients sent end with the server."""
        try:
            yield
        finally:
            self.pool.close()

    async def page(self, _: Request) -> Response:
        """Answer `GET /`."""
        return FileResponse(PAGE / "index.html")

    async def about(self, request: Request) -> Response:
        """Answer `GET /about`."""
        voice = self.voices.named(request.query_params)
        examples = [
            {
                "name": clip.name,
                "sounds": {kind: f"/examples/{i}/{kind}.wav" for kind in clip.sounds},
            }
            for i, (name, clip) in self.examples.items()
            if name == voice.name
        ]
        return JSONResponse(
            {
                "voice": voice.name,
                "voices": self.voices.names,
                **_about(voice),
                "limits": asdict(self.limits),
                "examples": examples,
            }
        )

    async def health(self, _: Request) -> Response:
        """Answer `GET /health`."""
        self.pool.check()
        return JSONResponse({"status": "ok"})

    async def exposition(self, _: Request) -> Response:
        """Answer `GET /metrics`."""
        families = await self.gather(self.metrics.registry)
        return Response(exposition(families), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def example(self, request: Request) -> Response:
        """Answer with a clip."""
        text, kind = request.path_params["number"], request.path_params["kind"]
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else -1
        _, clip = self.examples.get(number, ("", None))
        if clip is None or kind not in clip.sounds or not clip.sounds[kind].is_file():
            raise HTTPException(404)
        return FileResponse(clip.sounds[kind], media_type="audio/wav")

    async def features(self, request: Request) -> Response:
        """Answer `POST /features`."""
        voice = self.voices.named(_query(request, ["voice"]))
        with self.pool.place(), self.pool.body() as body, self.pool.room() as hold:
            await receive(request, body, hold, self.limits)
            rows = await unless_gone(request, voice.read(body), self.limits.timeout)
        return Response(rows.astype("<f4").tobytes(), media_type="application/octet-stream")

    async def synthesize(self, request: Request) -> Response:
        """Answer `POST /synthesize`."""
        query = _query(request)
        voice = self.voices.named(query)
        settings, rate = SynthesisSettings.read(query, voice.layout), voice.layout.rate
        headers = {"X-Seed": str(settings.seed)}
        with ExitStack() as held:
            held.enter_context(self.pool.place())
            body = held.enter_context(self.pool.body())
            hold = held.enter_context(self.pool.room())
            await receive(request, body, hold, self.limits)
            rows = await unless_gone(request, voice.read(body), self.limits.timeout)
            if remark := remark_on(rows, voice.layout):
                headers["X-Remark"] = remark
            began, parts = time.monotonic(), _speak(voice, rows, settings)
            if settings.chunked:
                first = await unless_gone(request, _next(parts), self.limits.timeout)
                release, seconds = held.pop_all(), self.limits.timeout
                return WavResponse(first, parts, rate, release, seconds, headers)
            whole = await unless_gone(request, _all(parts), self.limits.timeout)
            factor = sum(map(len, whole)) / rate / (time.monotonic() - began)
        headers["X-Real-Time-Factor"] = f"{factor:.3f}"
        return Response(wav(whole, rate), media_type="audio/wav", headers=headers)

    async def stream(self, socket: WebSocket) -> None:
        """Serve `/stream`."""
        await serve_connection(socket, self.voices, self.pool, self.limits)


def _query(request: Request, known: Sequence[str] | None = None) -> dict[str, str]:
    """Return the settings of a query, each of which stands there once."""
    given = request.query_params.multi_items()
    for name, count in Counter(name for name, _ in given).items():
        if count > 1:
            raise ValueError(f"{name}: wanted it once, got it {count} times.")
        if known is not None and name not in known:
            raise unknown_setting(name, known)
    return dict(given)


async def _speak(
    voice: Synthesizer, rows: np.ndarray, settings: SynthesisSettings
) -> AsyncGenerator[np.ndarray, None]:
    """Yield 16-bit samples, piece by piece."""
    began, samples = time.monotonic(), 0
    connection = await voice.connect(settings)
    async for piece in connection.pieces(rows):
        if len(piece):  # at first there may be none, while the look-ahead fills
            samples += len(piece)
            yield pcm(piece)
    last = pcm(await connection.finish())
    samples += len(last)
    voice.finished(samples / voice.layout.rate / (time.monotonic() - began))
    yield last


async def _next(parts: AsyncGenerator[np.ndarray, None]) -> np.ndarray:
    return await anext(parts)


async def _all(parts: AsyncGenerator[np.ndarray, None]) -> list[np.ndarray]:
    return [part async for part in parts]


def _about(voice: Synthesizer) -> dict[str, Any]:
    metadata, layout = voice.exported.metadata, voice.layout
    labels = {
        name: [str(known) for known in layout.spec.settings.get(f"{name}s", [])]
        or [str(index) for index in range(layout.spec.features[name].size)]
        for name in layout.label_names
    }
    return {
        "sample_rate": layout.rate,
        "hop": layout.hop,
        "latency_seconds": layout.seconds(metadata.latency),
        "frame": [{"name": name, "size": size} for name, size in layout.sizes.items()],
        "labels": labels,
        "file": flat(voice.exported.path.name),
        "base": metadata.base,
        "precision": metadata.precision,
        "weights": metadata.weights,
        "package": metadata.package,
        "mel": layout.spec.settings.get("mel"),
    }
