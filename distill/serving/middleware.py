"""Same-origin middleware: only this machine's programs and the server's own page are answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class SameOriginMiddleware:
    """Refuse what a foreign page in a browser of this machine could send, and label answers.

    A page may send requests to loopback, and may get its own name to point there. So requests must
    come without an origin or from the server's own page, and on loopback name the server as such.
    Starlette's own middleware does neither: that for CORS withholds headers from a foreign page but
    serves its request, and that for hosts answers in plain text, where all else is JSON.

    Arguments:
        app: What it guards.
        hosts: Names that the server goes by; `None` for any.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] | None = LOOPBACK) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(Headers(scope=scope))
        if refusal is None:
            await self.app(scope, receive, _labeled(send))
        else:
            await refuse(scope, receive, _labeled(send), *refusal)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if _place(f"//{host}") is None:
            return 400, "host: can't be read."
        if self.hosts is not None and _name(f"//{host}") not in self.hosts:
            return 403, "host: this server answers to loopback names only."
        if origin is not None and _place(origin) is None:
            return 400, "origin: can't be read."
        if origin is not None and _place(origin) != host.lower():
            return 403, "origin: only the server's own page may send requests from a browser."
        # A foreign page's image or script comes without an origin, but browsers tell where from.
        site = headers.get("sec-fetch-site")
        if site is not None and site not in ("same-origin", "none"):
            return 403, "origin: only the server's own page may send requests from a browser."
        return None


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    line: str,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer a request, or a websocket's handshake, by `{"error": "one line"}`."""
    answers = "websocket.http.response" in scope.get("extensions", {})
    if scope["type"] == "websocket" and not answers:  # the server before us can only close
        await send({"type": "websocket.close", "code": 1008, "reason": line})
        return
    await JSONResponse({"error": line}, status, headers)(scope, receive, send)


def _place(address: str) -> str | None:
    """Return host and port of an address, `None` if there is no reading it."""
    try:
        parts = urlsplit(address)
        _ = parts.port
        return parts.netloc.lower()
    except ValueError:
        return None


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _labeled(send: Send) -> Send:
    """Add headers to answers; a refusal of Starlette's own in plain text becomes JSON."""
    plain: Message | None = None

    async def labeled(message: Message) -> None:
        nonlocal plain
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            if message["status"] >= 400 and headers.get("content-type", "").startswith("text/"):
                plain = message  # its text is still to come
                return
        elif plain is not None:
            text = message.get("body", b"").decode() or "can't be served."
            body = json.dumps({"error": text}).encode()
            headers = MutableHeaders(scope=plain)
            headers["content-type"] = "application/json"
            headers["content-length"] = str(len(body))
            begun, plain = plain, None
            await send(begun)
            message = {**message, "body": body}
        await send(message)

    return labeled
