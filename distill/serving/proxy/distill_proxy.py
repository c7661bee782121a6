"""What Ray's HTTP proxy adds to the server: a clear end where a replica dies at work.

It stands outside of the package, so that the proxy, which only passes on, does without torch.
"""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOST = 1012  # "service restart" of RFC 6455's registry
_LINE = "the replica that served this has ended; connect again."


class LostReplicaMiddleware:
    """Ends what a dead replica left open.

    Ray's proxy would cut the line without a word. A stream is closed with code 1012 and a reason, a
    request that has no answer yet gets 503 and `Retry-After`.

    Arguments:
        app: The proxy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and close what is left open."""
        seen: set[str] = set()

        async def noted_receive() -> Message:
            message = await receive()
            seen.add(message["type"])
            return message

        async def noted_send(message: Message) -> None:
            seen.add(message["type"])
            await send(message)

        await self.app(scope, noted_receive, noted_send)
        if seen & {"http.response.start", "http.disconnect", "websocket.http.response.start"}:
            return
        if scope["type"] == "http":
            await JSONResponse({"error": _LINE}, 503, {"Retry-After": "1"})(scope, receive, send)
        elif scope["type"] == "websocket" and not seen & {
            "websocket.close",
            "websocket.disconnect",
        }:
            await send({"type": "websocket.close", "code": LOST, "reason": _LINE})


def middlewares() -> list[Middleware]:
    """Return what Ray's proxy is to put around itself."""
    return [Middleware(LostReplicaMiddleware)]
