"""Where replicas run: a Ray of their own on this machine, or a cluster that is there."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.checks import check_cluster

_OBJECTS = 80_000_000
"""Bytes of Ray's store of objects; requests do not go through it."""

_PROXY = Path(__file__).parent / "proxy" / "distill_proxy.py"
_SERVE = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": f"{_PROXY.stem}.middlewares",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # a busy machine starts processes slowly
    "RAY_SERVE_QUEUE_LENGTH_RESPONSE_DEADLINE_S": "1",  # and answers so: none is passed over
}
"""Of the environment of the processes of Ray Serve, which read it as they start."""
_OWN = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's own ports on loopback
    "RAY_AUTH_MODE": "token",  # for replicas listen to each other on all addresses
    "RAY_worker_niceness": "0",  # sound is no work for when there is nothing else to do
}
"""Of the environment of a Ray of our own."""


@contextmanager
def own_ray() -> Iterator[tuple[Any, Any, str]]:
    """Start Ray on this machine's loopback, silent towards its makers, and end it.

    Yields its modules `ray` and `ray.serve`, and its folder.

    Errors:
        ValueError: Ray Serve is not installed.
    """
    os.environ |= _SERVE | _OWN | {"PYTHONPATH": _path(), "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    ray, serve = _modules()
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


@contextmanager
def joined(cluster: str) -> Iterator[tuple[Any, Any]]:
    """Join a cluster, and leave it without Ray Serve, as it was.

    Yields the modules `ray` and `ray.serve`.

    Arguments:
        cluster: Its address, `auto` or HOST:PORT; this machine is one of it.

    Errors:
        ValueError: Ray Serve is not installed; no cluster is there, or it has Ray Serve already.
    """
    ray, serve = _modules()
    check_cluster("cluster", cluster)
    try:
        ray.init(
            address=cluster,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": _SERVE | {"PYTHONPATH": _path()}},
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ValueError(
            f"cluster={cluster}: no Ray to join ({reason}). Start one with `ray start --head`, and "
            "set RAY_AUTH_MODE=token here if it wants a token; or leave out cluster= for a Ray of "
            "the server's own."
        ) from None
    try:
        _end_by_sigterm()
        if serve.status().proxies:
            raise ValueError(
                f"cluster={cluster}: Ray Serve runs there already, and one address is served by "
                "one server. End it with `serve shutdown`, or leave out cluster=."
            )
        try:
            yield ray, serve
        finally:
            serve.shutdown()
    finally:
        ray.shutdown()


def _modules() -> tuple[Any, Any]:
    try:
        import ray
        from ray import serve
    except ImportError as error:
        raise ValueError(
            f"replicas wanted Ray Serve, which is not installed ({error.name}): pip install "
            "'distill[serve,cluster]', or leave out replicas=."
        ) from None
    return ray, serve


def _path() -> str:
    """Return where Python looks for modules: the proxy's too."""
    return os.pathsep.join([str(_PROXY.parent), *filter(None, [os.environ.get("PYTHONPATH")])])


def _end_by_sigterm() -> None:
    """Let SIGTERM end the process as any exit does; Ray's own handler would leave its folder."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
