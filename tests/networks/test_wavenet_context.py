"""How a WaveNet reads rows, sources and lags, and what it refuses."""

import pytest
import torch
from torch.autograd.functional import jacobian

from distill.contract import Context
from distill.networks import WaveNet
from tests.networks.wavenets import Case

BLOCKS = [1, 2, 4, 8]


def net_of(block=1, **more):
    sizes = {"layers": 2, "channels": 16, "block": block, "context_channels": 3}
    return Case({**sizes, **more}).net()


def values(sites=48):
    return torch.randn(2, sites, dtype=torch.float64)


def rows_of(count):
    return torch.randn(2, count, 3, dtype=torch.float64)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_held_row_equals_repeated_rows(block):
    net, x, rows = net_of(block), values(), rows_of(6)
    held = net(x, Context(rows, 8))
    for hop in (1, 2, 4):
        again = net(x, Context(rows.repeat_interleave(8 // hop, 1), hop))
        torch.testing.assert_close(again, held, atol=1e-12, rtol=0)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("sites", [3, 47, 48])
def test_one_row_for_all_sites_is_held(block, sites):
    net, x, row = net_of(block), values(sites), rows_of(1)[:, 0]
    everywhere = Context(row[:, None].expand(-1, sites, -1), 1)
    torch.testing.assert_close(net(x, Context(row)), net(x, everywhere), atol=1e-12, rtol=0)


@pytest.mark.parametrize("block", [4, 8])
def test_rows_shorter_than_a_block_are_averaged(block):
    net, x, rows = net_of(block), values(), rows_of(24)
    means = rows.unflatten(1, (-1, block // 2)).mean(2)
    torch.testing.assert_close(
        net(x, Context(rows, 2)), net(x, Context(means, block)), atol=1e-12, rtol=0
    )


def test_the_last_row_stands_in_where_the_last_block_has_too_few():
    net, x, rows = net_of(4), values(46), rows_of(23)
    filled = torch.cat([rows, rows[:, -1:]], 1)
    long = torch.cat([x, torch.zeros_like(x[:, :2])], 1)
    torch.testing.assert_close(
        net(x, Context(rows, 2)), net(long, Context(filled, 2))[:, :46], atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("block", BLOCKS)
def test_rows_change_their_own_sites_and_later_ones_only(block):
    net, x, rows = net_of(block), values(), rows_of(6)
    changed = rows.clone()
    changed[:, 3] += 1
    same = (net(x, Context(rows, 8)) == net(x, Context(changed, 8))).all(-1)
    assert same[:, :24].all()
    assert not same[:, 24].any()


@pytest.mark.parametrize("block", BLOCKS)
def test_the_source_is_read_by_its_own_block_and_later_ones(block):
    net, x = net_of(block, source_channels=2), values()
    source = torch.randn(2, 48, 2, dtype=torch.float64)
    changed = source.clone()
    changed[:, 29] += 1
    first = 29 - 29 % block
    one, other = (net(x, Context(rows_of(1)[:, 0] * 0, 1, s)) for s in (source, changed))
    assert (one == other)[:, :first].all()
    assert not (one == other)[:, first].all(-1).any()


def seen_of(lag, block, around, sites=48, **periods):
    """Return which sites the parameters of each block's first site depend on."""
    taps = {"pitch_taps": around, "longest_lag": 24, **periods}
    net = net_of(block, context_channels=0, layers=1, skip_channels=0, **taps)
    x, lags = values(sites)[:1], torch.full((1, sites), lag, dtype=torch.float64)
    seen = jacobian(lambda v: net(v, Context(lag=lags)).abs().sum(-1)[0], x)[:, 0] != 0
    return seen[::block]


@pytest.mark.parametrize(
    ("lag", "distances"),
    [
        (13.0, [13]),
        (12.6, [13]),
        (21.4, [21]),
        (3.3, [7]),
        (6.0, [6]),
        (5.9, [6]),
        (2.0, [6]),
        (24.0, [24]),
        (11.0, [11, 22]),
        (7.6, [8, 15, 23]),
        (13.0, [13, 0]),
    ],
)
def test_pitch_taps_read_the_sites_whole_numbers_of_periods_ago(lag, distances):
    block, around = 4, 3
    seen = seen_of(lag, block, around, pitch_periods=len(distances))
    for n in range(8, 12):
        # A layer of two taps: this block's own input, and that of the block before.
        wanted = set()
        for b in (n - 1, n):
            wanted |= set(range((b - 1) * block, b * block))
            for distance in filter(None, distances):
                start = b * block - distance
                wanted |= set(range(start - 1, start + block + 1))
        # Rectifiers may hide single sites.
        found = set(seen[n].nonzero().flatten().tolist())
        assert found <= wanted
        assert len(found) > 0.5 * len(wanted)
        assert min(found) <= min(wanted) + 1


@pytest.mark.parametrize("lag", [0.0, 24.6, 99.0])
def test_without_a_period_in_reach_only_the_blocks_before_are_read(lag):
    seen = seen_of(lag, 4, 3)
    for n in range(8, 12):
        assert set(seen[n].nonzero().flatten().tolist()) <= set(range(4 * n - 8, 4 * n))


def test_a_lag_is_read_at_the_start_of_each_block():
    net, x = net_of(4, context_channels=0, pitch_taps=3, longest_lag=24), values()
    lag = torch.full_like(x, 13.0)
    inside, start = lag.clone(), lag.clone()
    inside[:, 33] = 17.0
    start[:, 32] = 17.0
    plain = net(x, Context(lag=lag))
    assert torch.equal(net(x, Context(lag=inside)), plain)
    assert (net(x, Context(lag=start)) != plain).any()


@pytest.mark.parametrize("shape", [None, (2, 6, 3), (1, 7, 3), (2, 7, 4), (2, 4), (7, 3)])
def test_rows_that_do_not_fit_are_refused(shape):
    net = net_of(2)
    context = None if shape is None else Context(torch.zeros(shape), 6)
    with pytest.raises(ValueError, match=r"2 x 42 sites wanted context rows of shape \(2, rows, 3"):
        net(values(42), context)


def test_a_context_of_other_fields_only_is_refused():
    with pytest.raises(ValueError, match="got none"):
        net_of()(values(42), Context(source=torch.zeros(2, 42, 1)))


@pytest.mark.parametrize("hop", [3, 6])
def test_rows_that_lie_across_blocks_are_refused(hop):
    with pytest.raises(ValueError, match=f"divides the {hop} sites of a row.* got block=4"):
        net_of(4)(values(42), Context(rows_of(42 // hop).double(), hop))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": None}, r"a source of shape \(2, 48, 2\), got none\. .*HarmonicEncoder"),
        ({"source": torch.zeros(2, 48, 3)}, r"a source of .*got \(2, 48, 3\)"),
        ({"source": torch.zeros(2, 47, 2)}, r"a source of .*got \(2, 47, 2\)"),
        ({"lag": None}, r"a lag of shape \(2, 48\), got none\. .*HarmonicEncoder"),
        ({"lag": torch.zeros(1, 48)}, r"a lag of .*got \(1, 48\)"),
    ],
)
def test_a_source_or_lag_that_does_not_fit_is_named(change, message):
    net = net_of(4, source_channels=2, pitch_taps=3, longest_lag=24)
    fields = {"source": torch.zeros(2, 48, 2), "lag": torch.zeros(2, 48), **change}
    with pytest.raises(ValueError, match=f"WaveNet: wanted a context with {message}"):
        net(values(), Context(rows_of(6), 8, **fields))


def test_fields_that_a_network_does_not_read_make_no_difference():
    net, x, rows = net_of(4), values(), rows_of(6)
    more = Context(rows, 8, torch.randn(2, 48, 1), torch.full((2, 48), 9.0))
    assert torch.equal(net(x, Context(rows, 8)), net(x, more))
    assert not WaveNet(2, 2).reader.around
