"""Bodies of requests on their way to the disk."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.requests import Request

from distill.serving.limits import Limits
from distill.serving.pool import WorkerPool
from distill.serving.receiving import receive
from distill.serving.server_metrics import ServerMetrics

MB = 2**20


def request(parts: list[bytes]) -> Request:
    left = list(parts)

    async def send() -> dict[str, object]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return Request({"type": "http", "method": "POST", "headers": []}, send)


class SlowFile:
    """Takes a quarter of a second for each write."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")

    def __enter__(self) -> SlowFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        time.sleep(0.25 if len(content) >= MB else 0)
        self.file.write(content)


class SlowPath(type(Path())):  # type: ignore[misc]
    """Opens slow files."""

    def open(self, *_: object, **__: object) -> SlowFile:  # type: ignore[override]
        return SlowFile(Path(str(self)))


def test_a_body_is_written_in_order_whatever_its_parts(tmp_path):
    parts = [bytes([i]) * size for i, size in enumerate((3, MB - 3, 1, 5 * MB // 2, 0, 7))]
    held: list[int] = []
    asyncio.run(receive(request(parts), tmp_path / "body", held.append, Limits()))
    assert (tmp_path / "body").read_bytes() == b"".join(parts)
    assert max(held) >= sum(map(len, parts))


def test_a_slow_disk_holds_up_nobody_else(tmp_path):
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    async def both() -> None:
        other = asyncio.create_task(others())
        body = SlowPath(tmp_path / "body")
        await receive(request([bytes(MB)] * 3), body, lambda _: None, Limits())
        other.cancel()

    asyncio.run(both())
    assert turns >= 10  # of some 70; where writing holds them up, 3
    assert (tmp_path / "body").stat().st_size == 3 * MB


@pytest.mark.parametrize("size", [0, 1, MB, MB + 1])
def test_a_body_of_any_size_is_whole(tmp_path, size):
    asyncio.run(receive(request([bytes(size)]), tmp_path / "body", lambda _: None, Limits()))
    assert (tmp_path / "body").stat().st_size == size


def test_what_a_stopped_decoder_left_of_a_body_goes_with_it_and_nothing_else():
    pool = WorkerPool(Limits(), ServerMetrics())
    try:
        with ExitStack() as others:
            for _ in range(10):
                others.enter_context(pool.body())
            with pool.body() as tenth:
                kept = tenth.with_name("body1"), tenth.with_name("body100")
                for body in (tenth, *kept):
                    body.write_bytes(b"RIFF")
                    body.with_name(f"{body.name}.wav").symlink_to(body)
            left = {path.name for path in pool.folder.iterdir()}
            assert tenth.name == "body10"
            assert left == {"body1", "body1.wav", "body100", "body100.wav"}
        assert {path.name for path in pool.folder.iterdir()} == {"body100", "body100.wav"}
    finally:
        pool.close()
