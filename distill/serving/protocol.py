"""Protocols for uvicorn: connections bounded by number and time, refusals in JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response

from distill.serving.limits import Limits


def bounded_protocol(
    limits: Limits, refused: Callable[[], None] = lambda: None
) -> type[H11Protocol]:
    """Return a protocol for uvicorn that bounds connections by number and time.

    A client has so long to say what it wants, and to take what it is sent. When there are too many
    connections, the one that has been silent longest makes room; when all are at work, the new one
    gets 503 as JSON, with `Retry-After`. What is no HTTP gets 400 as JSON.

    Who is answered before its body is read may still be sending, and would not see the answer if
    the line was cut: what still comes is dropped unread for a while.

    Arguments:
        limits: `connections`, `head`, `upload` and `retry_after` of it.
        refused: Called for every connection that gets 503.
    """
    silent: dict[BoundedProtocol, None] = {}

    class BoundedProtocol(H11Protocol):
        _timer: asyncio.TimerHandle | None = None
        _taker: asyncio.TimerHandle | None = None
        _dropped: int | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(_Patient(transport, self))  # type: ignore[arg-type]
            if len(self.connections) > limits.connections:
                oldest = next(iter(silent), None)
                if oldest is None:
                    self._refuse()
                    return
                oldest.drop()
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            self._took()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            if self._dropped is not None:
                self._dropped += len(data)
                if self._dropped > 4 * limits.bytes:
                    self.drop()
                return
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._stop()

        def send_400_response(self, msg: str) -> None:
            body = json.dumps({"error": msg}).encode()
            head = {"content-type": "application/json", "connection": "close"}
            head["content-length"] = str(len(body))
            for event in (
                h11.Response(status_code=400, headers=[*head.items()], reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

        def handle_websocket_upgrade(self, event: Any) -> None:
            self._stop()
            super().handle_websocket_upgrade(event)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self.transport.is_closing() and self.cycle.response_complete:
                self.linger()
                self._wait()

        def linger(self) -> bool:
            """Return whether a body is still to come after its answer, which then is dropped."""
            late = self.cycle is not None and self.cycle.response_complete and self.cycle.more_body
            if not late or self._dropped is not None:
                return False
            self._dropped = 0
            with suppress(OSError):  # it may have gone meanwhile
                self.transport.write_eof()
            self.flow.resume_reading()
            return True

        def pause_writing(self) -> None:
            super().pause_writing()
            self._took()
            self._taker = self.loop.call_later(limits.upload, self.drop)

        def resume_writing(self) -> None:
            self._took()
            super().resume_writing()

        def drop(self) -> None:
            """Cut the line: what is still to be sent is sent to nobody."""
            self._stop()
            self.transport.abort()

        def _wait(self) -> None:
            self._stop()
            silent[self] = None
            self._timer = self.loop.call_later(limits.head, self.drop)

        def _stop(self) -> None:
            silent.pop(self, None)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _took(self) -> None:
            if self._taker is not None:
                self._taker.cancel()
                self._taker = None

        def _refuse(self) -> None:
            refused()
            wait = limits.retry_after
            line = f"all {limits.connections} connections are taken; come again in {wait} s."
            body = json.dumps({"error": line}).encode()
            head = (
                "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n"
                f"retry-after: {wait}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

    return BoundedProtocol


class JSONHandshakeProtocol(WebSocketsSansIOProtocol):
    """A websocket protocol whose refused handshakes say why in JSON, not in plain text."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        plain = self.conn.reject

        def reject(status: Any, text: str) -> Response:
            refusal = plain(status, text)
            said = " ".join(text.split()) or f"the handshake is refused: {refusal.reason_phrase}."
            refusal.body = json.dumps({"error": said}).encode()
            for name, value in (("Type", "application/json"), ("Length", str(len(refusal.body)))):
                del refusal.headers[f"Content-{name}"]
                refusal.headers[f"Content-{name}"] = value
            return refusal

        self.conn.reject = reject  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        """Answer too what is no handshake: uvicorn would hold its connection for good."""
        super().data_received(data)
        why = self.conn.handshake_exc
        if why is None or self.handshake_initiated or self.close_sent:
            return
        answer = b"".join(self.conn.data_to_send())
        answer = answer or self.conn.reject(400, f"{why.__cause__ or why}.").serialize()
        self.handshake_complete = self.close_sent = True
        self.transport.write(answer)
        self.transport.close()


class _Patient:
    """A transport that is not closed on who is still sending."""

    def __init__(self, transport: Any, owner: Any) -> None:
        self._transport, self._owner = transport, owner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        if not self._owner.linger():
            self._transport.close()
