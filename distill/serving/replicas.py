"""The server as replicas of Ray Serve: one process each, behind one address."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from starlette.applications import Starlette

from distill.export import load
from distill.serving.app import application
from distill.serving.board import Board, Teller
from distill.serving.examples import Example
from distill.serving.limits import Limits
from distill.serving.middleware import LOOPBACK
from distill.serving.run import bind, check_public
from distill.serving.tokens import Token
from distill.serving.voice import Voice

_OBJECTS = 80_000_000
"""Bytes of Ray's store of objects; requests do not go through it."""

_NAME = "distill"
_LOGGING = {"log_level": "WARNING", "enable_access_log": False}
_PROXY = Path(__file__).parent / "proxy" / "distill_proxy.py"
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's own ports on loopback
    "RAY_AUTH_MODE": "token",  # for replicas listen to each other on all addresses
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{_PROXY.stem}.middlewares",
    "RAY_worker_niceness": "0",  # sound is no work for when there is nothing else to do
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # a busy machine starts processes slowly
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "1",  # and answers so: none is passed over
}
"""Of the environment of Ray's processes, which read it as they start."""


@dataclass(frozen=True)
class Plan:
    """What every replica is built from; it is sent to their processes.

    Arguments:
        voices: Files and clips by name.
        limits: Of each replica.
        hosts: Names that the server goes by; `None` for any.
        token: Its digest.
        threads: Of each replica's runtimes.
        folder: For what clients send; it goes with Ray, however a replica ends.
    """

    voices: Mapping[str, tuple[Path, tuple[Example, ...]]]
    limits: Limits
    hosts: tuple[str, ...] | None
    token: Token | None
    threads: int
    folder: str

    def build(self, teller: Teller) -> Starlette:
        """Load the voices, and return the server."""
        torch.set_num_threads(self.threads)
        tempfile.tempdir = self.folder
        voices = {name: Voice(load(path), clips) for name, (path, clips) in self.voices.items()}
        app = application(voices, self.limits, self.hosts, self.token, teller.gather)
        teller.watch(app.state.server.metrics.registry)
        return app


def serve_replicas(
    voices: Mapping[str, Voice],
    replicas: int,
    host: str = "127.0.0.1",
    port: int = 8000,
    public: bool = False,
    limits: Limits | None = None,
    token: Token | None = None,
) -> None:
    """Answer requests by replicas until interrupted.

    They run in a Ray of their own on this machine, which ends with them. Each has the limits for
    itself. A stream stays with the replica that it was opened at.

    Arguments:
        voices: Who speaks, by name; each replica loads their files.
        replicas: Processes.
        host: Address to listen at.
        port: Port; 0 takes a free one, which is printed.
        public: Allow an address that other machines reach.
        limits: Of what clients may ask of each replica.
        token: What they must send; `None` for nothing.

    Errors:
        ValueError: Ray Serve is not installed; fewer than one replica; an address beyond loopback
            without `public`; a port out of range.
        OSError: The port is taken, or the address is not this machine's.
    """
    if replicas < 1:
        raise ValueError(f"replicas: wanted 1 or more, or null for no replicas, got {replicas}.")
    check_public(host, public, token)
    with bind(host, port) as listening:
        port = listening.getsockname()[1]
    limits = limits or Limits()
    files = {
        name: (voice.exported.path.absolute(), voice.examples) for name, voice in voices.items()
    }
    hosts = LOOPBACK if host in LOOPBACK else None
    with _ray() as (ray, serve, folder):
        plan = Plan(files, limits, hosts, token, torch.get_num_threads(), folder)
        board = ray.remote(num_cpus=0)(Board).remote()
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": host, "port": port, "keep_alive_timeout_s": ceil(limits.head)},
            logging_config=_LOGGING,
        )
        deployment = serve.deployment(
            name="voices",
            num_replicas=replicas,
            max_ongoing_requests=limits.connections,
            ray_actor_options={"num_cpus": 0},  # as many as were asked for, whatever the machine
            health_check_period_s=1,
            health_check_timeout_s=10,
            graceful_shutdown_wait_loop_s=0.1,
            graceful_shutdown_timeout_s=limits.drain,
            logging_config=_LOGGING,
        )(serve.ingress(_builder(plan, board))())
        serve.run(deployment.bind(), name=_NAME)
        try:
            name = f"[{host}]" if ":" in host else host
            print(f"http://{name}:{port}/  ({replicas} replicas; end with Ctrl-C)", flush=True)
            while True:
                time.sleep(1)
        finally:
            serve.delete(_NAME)  # before the proxy ends, which tells the streams


def _builder(plan: Plan, board: Any) -> Any:
    """Return the function that each replica calls for its server."""

    def build() -> Starlette:
        return plan.build(Teller(board))

    return build


@contextmanager
def _ray() -> Iterator[tuple[Any, Any, str]]:
    """Start Ray on this machine's loopback, silent towards its makers, and end it.

    Yields its modules `ray` and `ray.serve`, and its folder.
    """
    paths = [str(_PROXY.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= _SETTINGS | {
        "PYTHONPATH": os.pathsep.join(paths),
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise ValueError(
            f"replicas wanted Ray Serve, which is not installed ({error.name}): pip install "
            "'distill[serve,cluster]', or leave out replicas=."
        ) from None
    folder = tempfile.mkdtemp(prefix="distill-ray-", dir="/tmp" if Path("/tmp").is_dir() else None)
    try:
        _end_by_sigterm()
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=_OBJECTS,
            logging_level=logging.ERROR,
            _temp_dir=folder,  # short: the names of its sockets may have 107 characters
        )
        _end_by_sigterm()
        yield ray, serve, folder
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _end_by_sigterm() -> None:
    """Let SIGTERM end the process as any exit does; Ray's own handler would leave its folder."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
