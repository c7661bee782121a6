"""Run the server until it is interrupted."""

from __future__ import annotations

import math
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from distill.serving.app import application
from distill.serving.limits import Limits
from distill.serving.middleware import LOOPBACK
from distill.serving.pool import WorkerPool
from distill.serving.protocol import JSONHandshakeProtocol, bounded_protocol
from distill.serving.tokens import Token
from distill.serving.voice import Voice


def serve(
    voices: Mapping[str, Voice],
    host: str = "127.0.0.1",
    port: int = 8000,
    public: bool = False,
    limits: Limits | None = None,
    token: Token | None = None,
) -> None:
    """Answer requests until interrupted.

    Arguments:
        voices: Who speaks, by name.
        host: Address to listen at.
        port: Port; 0 takes a free one, which is printed.
        public: Allow an address that other machines reach.
        limits: Of what clients may ask.
        token: What they must send; `None` for nothing.

    Errors:
        ValueError: An address beyond loopback without `public`; a port out of range.
        OSError: The port is taken, or the address is not this machine's.
    """
    limits = limits or Limits()
    check_public(host, public, token)
    app = application(voices, limits, LOOPBACK if host in LOOPBACK else None, token)
    listening = bind(host, port)
    name = f"[{host}]" if ":" in host else host
    print(f"http://{name}:{listening.getsockname()[1]}/  (end with Ctrl-C)", flush=True)
    if threading.current_thread() is threading.main_thread():
        # An end as any other: what was sent and the processes go with it.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with listening:
        DrainingServer(config(app, limits)).run([listening])


def check_public(host: str, public: bool, token: Token | None) -> None:
    """Warn of an address that other machines reach.

    Errors:
        ValueError: It is not asked for.
    """
    if host in LOOPBACK:
        return
    if not public:
        raise ValueError(
            f"host: {host} may be reached from other machines, and whoever reaches the server "
            "may use it. If that is wanted, add public=true; else leave host=127.0.0.1."
        )
    danger = (
        "whoever reaches it may use it: it wants no token (token_file=FILE) and encrypts nothing."
        if token is None
        else "it encrypts nothing, its token neither: put a proxy before it that does."
    )
    print(f"warning: {host} may be reached from other machines, and {danger}", file=sys.stderr)


class DrainingServer(uvicorn.Server):
    """A server that lets those who are inside finish before it ends.

    From the signal on `GET /health` says 503 and nobody new is served. It ends once nobody is
    inside, after `limits.drain` seconds at the latest, or at once on a second signal.

    Arguments:
        config: See `config`.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._pool: WorkerPool = config.app.state.server.pool  # type: ignore[union-attr]
        self._until = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end."""
        if self._pool.ending:
            super().handle_exit(sig, frame)
            return
        self._captured_signals.append(sig)
        self._pool.ending = True
        self._until = time.monotonic() + self._pool.limits.drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End now; who is still inside has had time."""
        self.config.timeout_graceful_shutdown = 0 if self._pool.inside else 1
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Return whether it is time to end."""
        over = self._pool.ending and (not self._pool.inside or time.monotonic() > self._until)
        return await super().on_tick(counter) or over


def config(app: Starlette, limits: Limits) -> uvicorn.Config:
    """Return uvicorn's settings: what it can bound by itself."""
    refused = app.state.server.metrics.refused.labels("connections")
    layout = app.state.server.voices.widest.layout
    frames = math.ceil(limits.message_seconds * layout.rate / layout.hop)
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws=JSONHandshakeProtocol,
        ws_max_size=max(2**16, 2 * 4 * layout.width * frames),
        ws_per_message_deflate=False,
        http=bounded_protocol(limits, refused.inc),
        timeout_keep_alive=max(1, math.ceil(limits.head)),
        timeout_graceful_shutdown=1,
    )


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Errors:
        ValueError: The port is out of range.
        OSError: It is taken, or the address is not this machine's.
    """
    if not 0 <= port < 2**16:
        raise ValueError(f"port: wanted a number from 0 to 65535, got {port}.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)  # whoever reads the address may come at once
    except OSError as error:
        listening.close()
        reason = (error.strerror or str(error)).lower()
        raise OSError(f"{host}:{port}: {reason}. Name another with port= or host=.") from None
    return listening
