"""Middleware that counts requests and bytes."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from distill.serving.server_metrics import ServerMetrics

_ENDPOINTS = (
    *("/", "/page", "/examples", "/about", "/health", "/metrics"),
    *("/synthesize", "/features", "/stream"),
)


class MeteringMiddleware:
    """Counts requests by endpoint and status, closed streams by code, and bytes both ways.

    Paths that are none of the server's count as `other`: whoever tries many makes no new series.

    Arguments:
        app: What is counted.
        metrics: Where.
    """

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        endpoint = _endpoint(scope["path"])
        received, sent = (
            each.labels(endpoint) for each in (self.metrics.received, self.metrics.sent)
        )
        status, code = "", ""

        def settle(found: str) -> None:
            nonlocal status
            if found and not status:
                status = found
                self.metrics.requests.labels(endpoint, status).inc()

        async def counted_receive() -> Message:
            nonlocal code
            message = await receive()
            received.inc(_size(message))
            if message["type"] == "websocket.disconnect":
                code = code or str(message.get("code", 1005))
            return message

        async def counted_send(message: Message) -> None:
            nonlocal code
            settle(_status(message))
            if message["type"] == "websocket.close":
                code = code or str(message.get("code", 1000))
            sent.inc(_size(message))
            await send(message)

        try:
            await self.app(scope, counted_receive, counted_send)
        except Exception:
            settle("500")
            raise
        finally:
            settle("499")
            if status == "101":
                self.metrics.closed.labels(code or "1006").inc()


def _endpoint(path: str) -> str:
    """Return the endpoint that a path belongs to.

    Example:
        >>> _endpoint("/page/app.js"), _endpoint("/wp-login.php")
        ('/page', 'other')
    """
    first = "/" + path.split("/")[1] if path.startswith("/") else path
    return first if first in _ENDPOINTS else "other"


def _status(message: Message) -> str:
    """Return the status that a message settles, if it does."""
    if message["type"] in ("http.response.start", "websocket.http.response.start"):
        return str(message["status"])
    return {"websocket.accept": "101", "websocket.close": "403"}.get(message["type"], "")


def _size(message: Message) -> int:
    content = message.get("body") or message.get("bytes") or message.get("text") or b""
    return len(content if isinstance(content, bytes) else content.encode())
