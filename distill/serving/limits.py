"""What one client, and all of them together, may ask of a server."""

from __future__ import annotations

from dataclasses import dataclass, fields

from distill.checks import check_number


@dataclass(frozen=True)
class Limits:
    """Limits of the server; whatever goes beyond is refused, and the next request is served.

    Arguments:
        megabytes: Largest body of a request.
        held_megabytes: All bodies under way together.
        seconds: Longest sound of a request.
        stream_seconds: Longest sound of a stream.
        message_seconds: Longest sound of one message of a stream.
        workers: Chunks computed at once, each by a thread.
        clients: Requests and streams that are served at once. They share the workers chunk by
            chunk, in turn; whoever comes beyond is asked to come again.
        upload: Seconds to send a body, or the next message of a stream, or to take an answer.
        connections: Connections at once, silent ones included. Beyond, those that have asked for
            nothing yet make room, the oldest first.
        head: Seconds to say what is wanted, from the connection or the last answer on.
        pace: A stream may take this many times as long as its sound, and `upload` seconds more.
        drain: Seconds that those who are served may still take once the server is told to end.
        timeout: Seconds to answer a request, waiting included.
        retry_after: Seconds after which whoever was sent away may come again.

    Errors:
        ValueError: One that is not above 0, or not finite.
    """

    megabytes: float = 32.0
    held_megabytes: float = 256.0
    seconds: float = 60.0
    stream_seconds: float = 3600.0
    message_seconds: float = 5.0
    workers: int = 2
    clients: int = 64
    connections: int = 256
    head: float = 10.0
    pace: float = 10.0
    upload: float = 30.0
    drain: float = 1.0
    timeout: float = 120.0
    retry_after: int = 2

    def __post_init__(self) -> None:
        """Check that each is a number above 0."""
        for field in fields(self):
            check_number(
                f"limits.{field.name}",
                getattr(self, field.name),
                above=0,
                whole=field.type == "int",
            )

    @property
    def bytes(self) -> int:
        """Largest body."""
        return round(self.megabytes * 1e6)

    @property
    def held_bytes(self) -> int:
        """All bodies together."""
        return round(self.held_megabytes * 1e6)
