"""HTTP answers to refusals and mistakes, and the end of work that nobody waits for any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from distill.errors import one_line
from distill.files import is_full
from distill.serving.http_error import HTTPError

_LOG = logging.getLogger(__name__)

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]


class GoneError(Exception):
    """The client hung up."""


def answering(endpoint: Endpoint) -> Endpoint:
    """Turn what an endpoint refuses into an answer."""

    @wraps(endpoint)
    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except HTTPError as refusal:
            return error_answer(refusal.status, refusal, refusal.retry_after)
        except ValueError as error:
            return error_answer(400, error)
        except asyncio.CancelledError:
            return error_answer(503, HTTPError(503, "the server ends; come again later."), 30)
        except (ClientDisconnect, GoneError):
            return Response(status_code=499)  # to nobody
        except Exception as error:
            if is_full(error):
                full = HTTPError(507, "the server's disk is full; come again later.")
                return error_answer(507, full)
            _LOG.exception("%s %s", request.method, request.url.path)
            return await bug_answer(request, error)

    return answered


async def unless_gone(request: Request, work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Wait for work, and drop it when the client hangs up or has waited too long.

    Errors:
        GoneError: It hung up.
        HTTPError: It took longer.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if gone.done():
            raise GoneError
        raise HTTPError(504, f"it took longer than {seconds:g} s; send a shorter sound.")
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def error_answer(status: int, error: Exception, retry_after: int | None = None) -> JSONResponse:
    """Return `{"error": "one line"}`."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return JSONResponse({"error": one_line(error)}, status, headers)


async def http_answer(request: Request, error: Exception) -> Response:
    """Answer for paths and methods that are not there."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    said = path if len(path) <= 100 else f"{path[:100]}..."
    line = RuntimeError(f"{request.method[:20]} {said}: {error.detail.lower()}.")
    return JSONResponse({"error": one_line(line)}, error.status_code, error.headers)


async def bug_answer(_: Request, error: Exception) -> Response:
    """Answer for a mistake of ours."""
    line = RuntimeError(f"{type(error).__name__}: a bug in the server; its log has more.")
    return error_answer(500, line)
