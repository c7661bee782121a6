"""Bodies of requests, written to the pool's disk within the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request

from distill.serving.http_error import HTTPError
from distill.serving.limits import Limits
from distill.serving.pool import SMALL

_AT_ONCE = 2**20
"""Bytes of a body that are written by a thread of their own."""


async def receive(
    request: Request, body: Path, hold: Callable[[int], None], limits: Limits
) -> None:
    """Write a body to the pool's disk within its limits.

    Room is taken for all of it before it comes: of many at once, those that fit are served, and
    the others are told so before they have sent much.

    Arguments:
        request: Whose.
        body: Where it goes.
        hold: Takes room, see `WorkerPool.room`.
        limits: Of bytes and seconds.

    Errors:
        HTTPError: It is too large (413), compressed (415), or not there in time (408).
    """
    length = 0
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise HTTPError(415, f"content-encoding: wanted a plain body, got {coding[:20]!r}.")
    promised = request.headers.get("content-length")
    whole = limits.bytes if promised is None else _length(promised)
    try:
        if promised is not None:
            _check_size(whole, limits)
            hold(whole)
        async with asyncio.timeout(limits.upload):
            with body.open("wb") as file:
                kept = bytearray()
                async for part in request.stream():
                    length += len(part)
                    _check_size(length, limits)
                    hold(max(whole, length) if length > SMALL else length)
                    kept += part
                    if len(kept) >= _AT_ONCE:  # a disk that is behind must hold up nobody else
                        full, kept = kept, bytearray()
                        await asyncio.to_thread(file.write, full)
                file.write(kept)
    except TimeoutError:
        raise HTTPError(408, f"body: not there after {limits.upload:g} s.") from None


def _length(promised: str) -> int:
    if not (promised.isascii() and promised.isdecimal() and len(promised) < 20):
        raise ValueError(f"content-length: wanted a number of bytes, got {promised[:20]!r}.")
    return int(promised)


def _check_size(length: int, limits: Limits) -> None:
    if length > limits.bytes:
        raise HTTPError(413, f"body: larger than the limit of {limits.megabytes:g} MB.")
