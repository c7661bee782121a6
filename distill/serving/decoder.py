"""A process that decodes request bodies: it can be stopped at any moment, and started again."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from distill.export import Metadata
from distill.frames import FrameLayout
from distill.serving.bodies import read_body
from distill.serving.http_error import HTTPError


class Decoder:
    """A process of its own for decoding and pitch, which take long and can't be cut.

    It is started by its first use, from a parent that has everything imported, so that starting
    again takes no time. One thread reads at a time; any may `stop` it.

    Arguments:
        folder: For temporary files; the owner empties it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: Any = None
        self._line: Connection | None = None
        self._closed = False

    def read(self, path: Path, seconds: float, metadata: str) -> np.ndarray:
        """Return the frames of a body, see `read_body`.

        Arguments:
            path: Where it lies.
            seconds: Longest sound.
            metadata: Of the sampler whose frames are made, as JSON.

        Errors:
            ValueError: What can't be used, a `HTTPError` with its status; it was stopped.
        """
        try:
            line = self._running()
            # Bytes, not objects: what a decoder was made to do must not reach further.
            asked = {"path": str(path), "seconds": seconds, "metadata": metadata}
            line.send_bytes(json.dumps(asked).encode())
            said, content = json.loads(line.recv_bytes()), line.recv_bytes()
        except (OSError, EOFError, TypeError):
            self.stop()
            raise HTTPError(503, "body: its decoding was stopped; send it again.", 1) from None
        if "error" in said:
            raise HTTPError(said["status"], said["error"])
        return np.frombuffer(content, said["dtype"]).reshape(said["shape"])

    def stop(self) -> None:
        """End the process at once; the next use starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End it for good."""
        self._closed = True
        self.stop()

    def _running(self) -> Connection:
        if self._closed:
            raise EOFError
        if self._process is None or not self._process.is_alive():
            if self._line is not None:
                self._line.close()
            methods = multiprocessing.get_all_start_methods()
            context: Any = multiprocessing.get_context(
                "forkserver" if "forkserver" in methods else "spawn"
            )
            if "forkserver" in methods:
                context.set_forkserver_preload([__name__])
            self._line, theirs = context.Pipe()
            process = context.Process(target=answer, args=(theirs, str(self._folder)), daemon=True)
            process.start()
            theirs.close()
            self._process = process
        assert self._line is not None
        return self._line


def answer(line: Connection, folder: str) -> None:
    """Answer requests until their sender goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(5)
    tempfile.tempdir = folder
    while True:
        try:
            request, content = json.loads(line.recv_bytes()), b""
        except (EOFError, OSError):
            return
        said: dict[str, Any]
        try:
            layout = _layout(request["metadata"])
            rows = np.ascontiguousarray(
                read_body(Path(request["path"]), layout, request["seconds"])
            )
            said, content = {"shape": rows.shape, "dtype": rows.dtype.str}, rows.tobytes()
        except HTTPError as refusal:
            said = {"status": refusal.status, "error": str(refusal)}
        except ValueError as error:
            said = {"status": 400, "error": str(error)}
        except MemoryError:
            said = {"status": 413, "error": "body: too large for this machine's memory."}
        except Exception as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            bug = f"{type(error).__name__}: a bug in the server; its log has more."
            said = {"status": 500, "error": bug}
        line.send_bytes(json.dumps(said).encode())
        line.send_bytes(content)


@cache
def _layout(metadata: str) -> FrameLayout:
    return FrameLayout(Metadata.from_json(metadata, "sampler").spec, whole=True)


def new_folder() -> Path:
    """Make a folder for bodies under way."""
    return Path(tempfile.mkdtemp(prefix="distill-serve-"))
