"""The board where replicas tell their metrics, so that any of them can answer for all."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from prometheus_client import CollectorRegistry, Metric

_EVERY = 1.0
"""Seconds between two tellings."""
_STALE = 10.0
"""Seconds after which a replica that tells nothing is no longer there."""


class Board:
    """Holds what each replica told last.

    Example:
        >>> board = Board()
        >>> board.tell("a", [])
        >>> board.told()
        {'a': []}
    """

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, list[Metric]]] = {}

    def tell(self, replica: str, families: list[Metric]) -> None:
        """Keep what a replica counted."""
        self._told[replica] = time.monotonic(), families

    def told(self) -> dict[str, list[Metric]]:
        """Return what replicas that are there told last."""
        now = time.monotonic()
        self._told = {name: told for name, told in self._told.items() if now - told[0] < _STALE}
        return {name: families for name, (_, families) in self._told.items()}


class Teller:
    """A replica's side of the board: tells it every second, in a thread of its own.

    Arguments:
        board: The board, as an actor of Ray.
    """

    def __init__(self, board: Any) -> None:
        import ray
        from ray import serve

        self._get, self._board = ray.get, board
        self.name = str(serve.get_replica_context().replica_id.unique_id)
        self._registry: CollectorRegistry | None = None
        threading.Thread(target=self._tell_on, daemon=True).start()

    async def gather(self, registry: CollectorRegistry) -> list[Metric]:
        """Return what all replicas count, this one now and others a second ago."""
        del registry  # the one that it watches
        self._tell()
        return merged(await self._board.told.remote())

    def watch(self, registry: CollectorRegistry) -> None:
        """Tell of a registry from now on."""
        self._registry = registry

    def _tell(self) -> Any:
        assert self._registry is not None
        return self._board.tell.remote(self.name, list(self._registry.collect()))

    def _tell_on(self) -> None:
        while True:
            time.sleep(_EVERY)
            if self._registry is not None:
                with suppress(Exception):  # the board ends before the replicas
                    self._get(self._tell())


def merged(told: Mapping[str, list[Metric]]) -> list[Metric]:
    """Return families of metrics of all replicas, each sample labeled with its replica."""
    found: dict[str, Metric] = {}
    for replica, families in told.items():
        for family in families:
            whole = found.setdefault(
                family.name, Metric(family.name, family.documentation, family.type)
            )
            whole.samples += [
                sample._replace(labels={**sample.labels, "replica": replica})
                for sample in family.samples
            ]
    return list(found.values())
