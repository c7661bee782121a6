"""The synthesis server: mel or audio in, wav out; a websocket for chunks; a page to hear it."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from distill.export import Exported
from distill.serving.answers import answering, bug_answer, http_answer, unless_gone
from distill.serving.examples import Example
from distill.serving.http_error import HTTPError
from distill.serving.limits import Limits
from distill.serving.metering import MeteringMiddleware
from distill.serving.middleware import LOOPBACK, SameOriginMiddleware
from distill.serving.pool import SMALL, WorkerPool
from distill.serving.server_metrics import ServerMetrics, exposition
from distill.serving.sinks import pcm
from distill.serving.synthesizer import SynthesisSettings, Synthesizer
from distill.serving.websocket import serve_connection

PAGE = Path(__file__).parent / "page"


def application(
    exported: Exported,
    limits: Limits | None = None,
    examples: Sequence[Example] = (),
    hosts: tuple[str, ...] | None = LOOPBACK,
) -> Starlette:
    """Return the server as an ASGI application.

    - `POST /synthesize`: a body as in `read_body`; seed, temperature, speaker, label in the query;
      answered by a 16-bit wav file.
    - `POST /features`: the same body, answered by the frames: float32 rows.
    - `/stream`: a websocket, see `serve_connection`.
    - `GET /about`: what is served, as JSON. `GET /`: the page.
    - `GET /health`: 200 where the next client would be served, else 503 and why.
    - `GET /metrics`: what `ServerMetrics` counts, as Prometheus text.

    A request that can't be served is answered by `{"error": "one line"}`.

    Arguments:
        exported: The sampler.
        limits: Of body, duration, clients and time.
        examples: Clips for the page.
        hosts: Names that the server goes by; `None` for any.

    Errors:
        ValueError: A sampler that does not turn frames into sound.
    """
    server = Server(exported, limits or Limits(), examples)
    app = Starlette(
        routes=[
            Route("/", server.page),
            Mount("/page", StaticFiles(directory=PAGE)),
            Route("/about", server.about),
            Route("/health", answering(server.health)),
            Route("/metrics", server.exposition),
            Route("/examples/{number}/{kind}.wav", server.example),
            Route("/synthesize", answering(server.synthesize), methods=["POST"]),
            Route("/features", answering(server.features), methods=["POST"]),
            WebSocketRoute("/stream", server.stream),
        ],
        middleware=[
            Middleware(MeteringMiddleware, metrics=server.metrics),
            Middleware(SameOriginMiddleware, hosts=hosts),
        ],
        exception_handlers={HTTPException: http_answer, Exception: bug_answer},
        lifespan=server.lifespan,
    )
    app.state.pool = server.pool
    return app


class Server:
    """The endpoints; nothing is kept between requests but counts."""

    def __init__(self, exported: Exported, limits: Limits, examples: Sequence[Example]) -> None:
        self.limits, self.examples = limits, examples
        self.metrics = ServerMetrics()
        self.pool = WorkerPool(limits, exported.metadata, self.metrics)
        self.synthesizer = Synthesizer(exported, self.pool, "student")
        self.layout = self.synthesizer.layout

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

    async def about(self, _: Request) -> Response:
        """Answer `GET /about`."""
        metadata, layout = self.synthesizer.exported.metadata, self.layout
        labels = {
            name: [str(known) for known in layout.spec.settings.get(f"{name}s", [])]
            or [str(index) for index in range(layout.spec.features[name].size)]
            for name in layout.label_names
        }
        return JSONResponse(
            {
                "sample_rate": layout.rate,
                "hop": layout.hop,
                "latency_seconds": layout.seconds(metadata.latency),
                "frame": [{"name": name, "size": size} for name, size in layout.sizes.items()],
                "labels": labels,
                "file": self.synthesizer.exported.path.name,
                "base": metadata.base,
                "precision": metadata.precision,
                "weights": metadata.weights,
                "package": metadata.package,
                "mel": layout.spec.settings.get("mel"),
                "limits": asdict(self.limits),
                "examples": [
                    {
                        "name": clip.name,
                        "sounds": {kind: f"/examples/{i}/{kind}.wav" for kind in clip.sounds},
                    }
                    for i, clip in enumerate(self.examples)
                ],
            }
        )

    async def health(self, _: Request) -> Response:
        """Answer `GET /health`."""
        self.pool.check()
        return JSONResponse({"status": "ok"})

    async def exposition(self, _: Request) -> Response:
        """Answer `GET /metrics`."""
        text = exposition(self.metrics.registry.collect())
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def example(self, request: Request) -> Response:
        """Answer with a clip."""
        text, kind = request.path_params["number"], request.path_params["kind"]
        number = int(text) if text.isascii() and text.isdecimal() and len(text) < 7 else -1
        if not 0 <= number < len(self.examples) or kind not in self.examples[number].sounds:
            raise HTTPException(404)
        return FileResponse(self.examples[number].sounds[kind], media_type="audio/wav")

    async def features(self, request: Request) -> Response:
        """Answer `POST /features`."""
        with self.pool.place(), self.pool.body() as body, self.pool.room() as hold:
            await self._receive(request, body, hold)
            rows = await unless_gone(request, self.pool.read(body), self.limits.timeout)
        return Response(rows.astype("<f4").tobytes(), media_type="application/octet-stream")

    async def synthesize(self, request: Request) -> Response:
        """Answer `POST /synthesize`."""
        settings = SynthesisSettings.read(dict(request.query_params), self.layout)
        with self.pool.place(), self.pool.body() as body, self.pool.room() as hold:
            await self._receive(request, body, hold)
            work = self._speak(body, settings)
            samples, seconds = await unless_gone(request, work, self.limits.timeout)
        file = io.BytesIO()
        soundfile.write(file, samples, self.layout.rate, "PCM_16", format="WAV")
        factor = len(samples) / self.layout.rate / seconds
        self.synthesizer.finished(factor)
        headers = {"X-Seed": str(settings.seed), "X-Real-Time-Factor": f"{factor:.3f}"}
        return Response(file.getvalue(), media_type="audio/wav", headers=headers)

    async def stream(self, socket: WebSocket) -> None:
        """Serve `/stream`."""
        await serve_connection(socket, self.synthesizer, self.pool, self.limits)

    async def _receive(self, request: Request, body: Path, hold: Callable[[int], None]) -> None:
        """Write a body to the pool's disk within its limits.

        Room is taken for all of it before it comes: of many at once, those that fit are served, and
        the others are told so before they have sent much.
        """
        limits, length = self.limits, 0
        promised = request.headers.get("content-length")
        whole = limits.bytes if promised is None else int(promised)
        try:
            if promised is not None:
                self._check_size(whole)
                hold(whole)
            async with asyncio.timeout(limits.upload):
                with body.open("wb") as file:
                    async for part in request.stream():
                        length += len(part)
                        self._check_size(length)
                        hold(max(whole, length) if length > SMALL else length)
                        file.write(part)
        except TimeoutError:
            raise HTTPError(408, f"body: not there after {limits.upload:g} s.") from None

    def _check_size(self, length: int) -> None:
        if length > self.limits.bytes:
            raise HTTPError(413, f"body: larger than the limit of {self.limits.megabytes:g} MB.")

    async def _speak(self, body: Path, settings: SynthesisSettings) -> tuple[np.ndarray, float]:
        """Return samples, and the seconds that they took."""
        rows = await self.pool.read(body)
        began = time.monotonic()
        connection = await self.synthesizer.connect(settings)
        parts = [pcm(piece) async for piece in connection.pieces(rows)]
        parts.append(pcm(await connection.finish()))
        return np.concatenate(parts), time.monotonic() - began
