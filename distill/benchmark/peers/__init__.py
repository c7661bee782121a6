"""Samplers of other libraries, in the same run: a file each, and an entry of `PEERS`."""

from __future__ import annotations

from collections.abc import Sequence

from distill.benchmark.inputs import Inputs
from distill.benchmark.peers.nflows import NFlows
from distill.benchmark.peers.peer import Peer
from distill.benchmark.peers.vocos import Vocos
from distill.benchmark.peers.zuko import Zuko
from distill.benchmark.race import Contestant
from distill.benchmark.row import Row
from distill.checks import check_names
from distill.models import Density

PEERS: dict[str, type[Peer]] = {"nflows": NFlows, "vocos": Vocos, "zuko": Zuko}


def peer_contestants(
    names: Sequence[str], teacher: Density, inputs: Inputs
) -> list[Contestant | Row]:
    """Return the contestants of other libraries, and rows of those that can't take part.

    Arguments:
        names: Of `PEERS`.
        teacher: Whose sizes they take over where they can.
        inputs: What to draw.

    Errors:
        ValueError: An unknown name.
    """
    check_names("benchmark.peers", names, PEERS)
    return [entry for name in names for entry in PEERS[name]().entries(teacher, inputs)]


__all__ = ["PEERS", "Peer", "peer_contestants"]
