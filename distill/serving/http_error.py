"""Errors with an HTTP status: what a client is told when it is refused."""

from __future__ import annotations


class HTTPError(ValueError):
    """A refusal with its HTTP status.

    Arguments:
        status: 4xx for what the client can change, 503 and 504 for what it can try again.
        message: One line.
        retry_after: Seconds, for 503.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
