"""The server as replicas of Ray Serve: one process each, behind one address."""

from __future__ import annotations

import tempfile
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
from distill.serving.cluster import joined, own_ray
from distill.serving.examples import Example
from distill.serving.limits import Limits
from distill.serving.middleware import LOOPBACK
from distill.serving.run import bind, check_public
from distill.serving.tokens import Token
from distill.serving.voice import Voice

_NAME = "distill"
_LOGGING = {"log_level": "WARNING", "enable_access_log": False}


@dataclass(frozen=True)
class Plan:
    """What every replica is built from; it is sent to their processes.

    Arguments:
        voices: Files and clips by name.
        limits: Of each replica.
        hosts: Names that the server goes by; `None` for any.
        token: Its digest.
        threads: Of each replica's runtimes.
        folder: For what clients send; it goes with Ray, however a replica ends. `None` for the
            machine's own.
    """

    voices: Mapping[str, tuple[Path, tuple[Example, ...]]]
    limits: Limits
    hosts: tuple[str, ...] | None
    token: Token | None
    threads: int
    folder: str | None

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
    cluster: str | None = None,
) -> None:
    """Answer requests by replicas until interrupted.

    They run in a Ray of their own on this machine, which ends with them, or on the machines of a
    cluster. Each has the limits for itself. A stream stays with the replica that it was opened at.

    Arguments:
        voices: Who speaks, by name; each replica loads their files.
        replicas: Processes.
        host: Address to listen at.
        port: Port; 0 takes a free one, which is printed.
        public: Allow an address that other machines reach.
        limits: Of what clients may ask of each replica.
        token: What they must send; `None` for nothing.
        cluster: Address of a Ray cluster that they join, `auto` or HOST:PORT. Its machines have
            this package and the voices' files at the same paths; each that has a replica listens.

    Errors:
        ValueError: Ray Serve is not installed; fewer than one replica; an address beyond loopback
            without `public`; a port out of range; no cluster is there, or it has a server.
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
    threads = torch.get_num_threads()
    with _where(cluster) as (ray, serve, folder):
        plan = Plan(files, limits, hosts, token, threads, folder)
        board = ray.remote(num_cpus=0)(Board).remote()
        serve.start(
            proxy_location="HeadOnly" if cluster is None else "EveryNode",
            http_options={"host": host, "port": port, "keep_alive_timeout_s": ceil(limits.head)},
            logging_config=_LOGGING,
        )
        deployment = serve.deployment(
            name="voices",
            num_replicas=replicas,
            max_ongoing_requests=limits.connections,
            # Our own Ray starts what was asked for, whatever the machine; a cluster has other work.
            ray_actor_options={"num_cpus": 0 if cluster is None else threads},
            health_check_period_s=1,
            health_check_timeout_s=10,
            graceful_shutdown_wait_loop_s=0.1,
            graceful_shutdown_timeout_s=limits.drain,
            logging_config=_LOGGING,
        )(serve.ingress(_builder(plan, board))())
        serve.run(deployment.bind(), name=_NAME)
        try:
            name = f"[{host}]" if ":" in host else host
            whose = "" if cluster is None else f" in the cluster {cluster}"
            print(
                f"http://{name}:{port}/  ({replicas} replicas{whose}; end with Ctrl-C)", flush=True
            )
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
def _where(cluster: str | None) -> Iterator[tuple[Any, Any, str | None]]:
    """Lend Ray, Ray Serve and a folder that goes with them, where there is one."""
    if cluster is None:
        with own_ray() as found:
            yield found
    else:
        with joined(cluster) as (ray, serve):
            yield ray, serve, None
