from __future__ import annotations

import pytest
import torch

from distill.benchmark import peers
from distill.benchmark.counting import count
from distill.benchmark.inputs import Inputs
from distill.benchmark.peers import PEERS, peer_contestants
from distill.benchmark.peers.mafs import MAFPeer, sizes_of
from distill.benchmark.peers.peer import Peer
from distill.benchmark.race import race
from distill.contract import DataSpec
from distill.models import iaf, maf, wavenet

SIGNAL = DataSpec(None, sample_rate=600, hop=10)


def a_maf(hidden=(6, 6)):
    return maf(DataSpec(sites=3), 2, list(hidden)).eval()


class Ours(MAFPeer):
    """Another library's flow, by the name of one that is installed."""

    package = "torch"
    modules = ("torch",)

    def build(self, sizes):
        return maf(DataSpec(sites=sizes.sites), sizes.layers, sizes.hidden)

    def sample(self, flow, count):
        return flow.sample(count)

    def log_prob(self, flow, x):
        return flow.log_prob(x)


class Missing(Ours):
    package = "nowhere"
    modules = ("nowhere_to_be_found",)


def test_a_missing_library_has_one_line_that_says_how_to_get_it(monkeypatch, small):
    monkeypatch.setitem(peers.PEERS, "missing", Missing)
    entries = peer_contestants(["missing"], a_maf(), Inputs(None, 3))
    (row,), _ = race(entries, [1, 2], calibrator=small)
    assert row.name == "nowhere-maf"
    assert row.note == (
        "No module named 'nowhere_to_be_found'. Install it with pip install 'distill[bench]'"
    )


def test_a_flow_takes_over_the_sizes_of_the_teacher_and_its_precision(small):
    teacher = a_maf([6, 5]).double()
    (entry,) = Ours().entries(teacher, Inputs(None, 3))
    assert (
        entry.name if hasattr(entry, "name") else (entry.model, entry.backend) == ("torch", "maf")
    )
    assert entry.draw(4).shape == (4, 3)
    assert entry.draw(1).dtype == torch.float64
    assert entry.megabytes == pytest.approx(8e-6 * sum(p.numel() for p in teacher.parameters()))
    assert entry.cost(5).flop == count(lambda: entry.draw(5)).flop > 0
    assert entry.forecast(2).part == "one pass"
    assert entry.note.startswith("torch 2")
    rows, _ = race([entry], [1], 1, calibrator=small)
    assert rows[0].timing.runs == 1


def test_sizes_are_those_of_masked_autoregressive_flows_only():
    assert sizes_of(a_maf()).hidden == [6, 6]
    assert sizes_of(iaf(DataSpec(sites=3), 1, [4])) is None
    assert sizes_of(wavenet(SIGNAL, layers=1, channels=2)) is None


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("zuko", lambda: wavenet(SIGNAL, layers=1, channels=2), "MAFs of MADEs only"),
        ("nflows", lambda: wavenet(SIGNAL, layers=1, channels=2), "MAFs of MADEs only"),
        ("nflows", lambda: a_maf([6, 5]), r"the teacher has \[6, 5\]"),
        ("vocos", a_maf, "it makes sound only"),
    ],
)
def test_a_library_with_nothing_to_compare_says_so(name, make, says, monkeypatch):
    monkeypatch.setattr(PEERS[name], "modules", ())
    monkeypatch.setattr("distill.benchmark.peers.peer.version", lambda _: "1.0")
    (row,) = PEERS[name]().entries(make(), Inputs(None, 3))
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(row.note)


def test_an_unknown_library_is_refused():
    with pytest.raises(ValueError, match=r"benchmark\.peers: wanted any of nflows, vocos, zuko"):
        peer_contestants(["normflows"], a_maf(), Inputs(None, 3))


@pytest.mark.parametrize("name", ["nflows", "zuko"])
def test_the_flow_of_a_library_draws_what_the_teacher_draws(name):
    pytest.importorskip(name)
    (entry,) = peer_contestants([name], a_maf(), Inputs(None, 3))
    assert entry.draw(4).shape == (4, 3)
    assert entry.forecast(4).seconds > 0
    assert entry.cost(4).flop > 0


def test_vocos_is_of_its_published_size_and_draws_no_less_than_the_student():
    pytest.importorskip("vocos")
    inputs = Inputs(None, 600, 10)
    (entry,) = peer_contestants(["vocos"], wavenet(SIGNAL, layers=1, channels=2), inputs)
    assert entry.megabytes == pytest.approx(4 * 13.53, rel=0.01)
    assert entry.sites == 768
    assert entry.draw(2).shape == (2, 768)


def test_a_library_needs_its_two_answers():
    with pytest.raises(NotImplementedError, match="Peer does not define refuses"):
        Peer().refuses(a_maf())
