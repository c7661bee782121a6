"""A token that every client must send."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from distill.serving.middleware import refuse

PROTOCOL = "distill"
"""Subprotocol of the websocket, which a client offers beside its token."""
VARIABLE = "DISTILL_TOKEN"
_FORM = re.compile(r"[A-Za-z0-9._~-]{16,512}")
_OFFER = f"{PROTOCOL}.token."
_WAYS = "Authorization: Bearer TOKEN"


class Token:
    """What clients must know; only its SHA-256 is kept.

    Arguments:
        secret: 16 to 512 letters, digits, `.`, `_`, `~` and `-`, which every header can carry.

    Errors:
        ValueError: Something else; the message does not repeat it.

    Example:
        >>> token = Token("not-a-very-secret-one")
        >>> token.is_(b"not-a-very-secret-one"), token.is_(b"another-one-entirely")
        (True, False)
    """

    def __init__(self, secret: str) -> None:
        if not _FORM.fullmatch(secret):
            raise ValueError(
                "token: wanted 16 to 512 letters, digits, and any of . _ ~ - in one line, got "
                f"{len(secret)} characters that are not. One is made by `python -c 'import "
                "secrets; print(secrets.token_urlsafe())'`."
            )
        self._digest = hashlib.sha256(secret.encode()).digest()

    def is_(self, offered: bytes) -> bool:
        """Return whether a client has it, in a time that tells nothing of how near it came."""
        return hmac.compare_digest(hashlib.sha256(offered).digest(), self._digest)


def read_token(file: str | Path | None) -> Token | None:
    """Read the token from a file, or else from the environment, from which it is removed.

    A command line would show it to everybody on the machine, and its history keep it.

    Arguments:
        file: One line; `None` for the variable `DISTILL_TOKEN`, without which there is no token.

    Errors:
        FileNotFoundError: There is no such file.
        ValueError: What is there can't be a token.
    """
    given = os.environ.pop(VARIABLE, None)  # what decodes strangers' sounds must not inherit it
    if file is not None:
        path = Path(file).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"token_file: {path}: no such file. Write the token into it.")
        given = path.read_bytes()[:4096].decode("utf-8-sig", "replace").strip()
    return None if given is None else Token(given)


class TokenMiddleware:
    """Refuses who does not send the token.

    It comes in the header `Authorization: Bearer TOKEN`. A browser can't set that of a websocket,
    and an address with a token in it would be kept by logs and histories, so there it may come as a
    subprotocol: `new WebSocket(url, ["distill", "distill.token." + token])`. `open_to` answers
    without.

    Arguments:
        app: What it guards.
        token: The token; `None` lets everybody pass.
    """

    def __init__(self, app: ASGIApp, token: Token | None) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on who may pass."""
        if scope["type"] == "lifespan" or open_to(scope["path"]) or self._admits(scope):
            await self.app(scope, receive, send)
        else:
            line = f"token: wanted this server's, in the header `{_WAYS}`."
            headers = {"WWW-Authenticate": "Bearer"}
            await refuse(scope, receive, send, 401, line, headers)

    def _admits(self, scope: Scope) -> bool:
        return self.token is None or any(self.token.is_(offer) for offer in _offers(scope))


def open_to(path: str) -> bool:
    """Return whether a path is answered without a token: health, and the page's own files.

    Example:
        >>> open_to("/page/app.js"), open_to("/health"), open_to("/metrics")
        (True, True, False)
    """
    return path in ("/", "/health") or path.startswith("/page/")


def _offers(scope: Scope) -> list[bytes]:
    """Return what a client says that the token is."""
    found = []
    for value in Headers(scope=scope).getlist("authorization"):
        scheme, _, offered = value.partition(" ")
        if scheme.lower() == "bearer":
            found.append(offered.strip().encode("latin-1"))
    if scope["type"] == "websocket":
        for protocol in scope.get("subprotocols", []):
            if protocol.startswith(_OFFER):
                found.append(protocol.removeprefix(_OFFER).encode("latin-1", "replace"))
    return found[:4]
