"""Exported signals: chunks equal the whole, seeds mean one sound, streams do not meet."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.export import (
    Exported,
    ExportMismatch,
    Limit,
    Noise,
    load,
    verify,
)
from distill.models import Flow
from tests.export.students import BACKENDS, CASES, RATE, features_of

FEW = [
    "pt2-speakers",
    "onnx-speakers",
    "onnx-whitened, from the mel",
    "loops-whitened, from the mel",
]
GRAPHS_ONLY = ["transposed, logistic", "linear", "whitened, no pitch"]
ALL = [
    f"{backend}-{case}"
    for backend in BACKENDS
    for case in CASES
    if not (backend == "loops" and case in GRAPHS_ONLY)
]


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[] if name in FEW else pytest.mark.slow) for name in ALL],
)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def flow(signals, name: str) -> Flow:
    return signals(name)[0]


@pytest.fixture(scope="module")
def exported(signals, name: str) -> Exported:
    return load(signals(name)[1])


def split(features, a: int, b: int):
    frames = {k: v[a:b] for k, v in features.items() if isinstance(v, torch.Tensor)}
    return frames or b - a


def streamed(exported: Exported, features, frames: int, cuts, **options) -> torch.Tensor:
    fixed = {k: v for k, v in features.items() if not isinstance(v, torch.Tensor)}
    stream = exported.stream(features=fixed, **options)
    edges = sorted({0, frames, *(c for c in cuts if 0 < c < frames)})
    parts = [stream.push(split(features, a, b)) for a, b in pairwise(edges)]
    return torch.cat([*parts, stream.finish()])


def eager(flow: Flow, features, frames: int, seed: int, temperature: float = 1.0):
    base = "logistic" if type(flow.base).__name__ == "Logistic" else "normal"
    noise = torch.from_numpy(Noise(base, seed).draw(frames * flow.spec.hop))[None] * temperature
    given = {k: torch.as_tensor(v)[None] for k, v in features.items()}
    with torch.no_grad():
        return flow.draw(noise, given or None).x[0]


def close(a, b, tolerance: float = 2e-5) -> None:
    # Of the samples' scale: the whitened student's rounding in float32 is 1.4e-5 of it in ONNX.
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance * max(1.0, float(b.abs().max())))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50])
def test_a_stream_of_any_chunk_is_the_whole_utterance_of_the_model(flow, exported, chunk: int):
    features = features_of(flow, 53)
    x = streamed(exported, features, 53, range(chunk, 53, chunk), seed=5)
    close(x, eager(flow, features, 53, seed=5))


@settings(max_examples=10, deadline=None)
@given(frames=st.integers(1, 20), cuts=st.sets(st.integers(1, 19)))
def test_a_stream_of_random_splits_is_what_synthesize_gives(flow, exported, frames, cuts):
    features = features_of(flow, frames)
    given = features if exported.metadata.frames else {**features}
    count = None if exported.metadata.frames else frames
    whole = exported.synthesize(given, seed=7, frames=count)
    assert whole.shape == (1, frames * flow.spec.hop)
    close(streamed(exported, features, frames, cuts, seed=7), whole[0])


def test_a_file_scores_what_it_draws_as_the_whole_model_does(flow, exported):
    features = features_of(flow, 3)
    batch = {name: torch.as_tensor(value)[None] for name, value in features.items()}
    noise = exported.noise(1, sites=3 * flow.spec.hop, seed=4)
    x, log_prob = exported(noise, batch)
    with torch.no_grad():
        wanted = flow.log_prob(x, batch or None)
    torch.testing.assert_close(log_prob, wanted, rtol=0, atol=1e-3)


def test_the_report_covers_chunks_other_batches_and_lengths(signals, name: str):
    _, path, report = signals(name)
    assert report.batch_sizes == (1, 3)
    assert len(set(report.frames)) == 2
    assert report.chunks
    tolerance = 1e-5 if load(path).metadata.filter_order else 1e-6
    allowed = max(tolerance, 4 * max(report.rounding_x, report.rounding_log_prob))
    assert 0 <= report.relative <= allowed
    assert path.with_name(f"{path.name}.json").read_text().count('"chunked_x"') == 1


def test_metadata_describes_the_state_and_the_config(flow, exported, name: str):
    metadata = exported.metadata
    assert metadata.spec == flow.spec
    assert metadata.latency == getattr(flow.encoder, "latency", 0)
    assert metadata.reach == getattr(flow.encoder, "reach", 0)
    beside = json.loads(exported.path.with_name(f"{exported.path.name}.json").read_text())
    assert (beside["latency"], beside["reach"]) == (metadata.latency, metadata.reach)
    assert metadata.config == {"layers": 3}
    assert len(metadata.config_hash) == 64
    names = [state.name for state in metadata.state]
    if name.startswith("loops"):
        assert names[-1] == ("state.samples" if flow.outer else "state.past")
        assert metadata.filter_order == 0
        return
    flows = ["state.flow0.sites", "state.flow0.layer0", "state.flow0.layer1", "state.flow1.sites"]
    assert [name for name in names if name.startswith("state.flow")][:4] == flows
    if metadata.frames:
        assert names[:2] == ["state.frames", "state.begun"]
        assert metadata.state[0].shape == (max(1, metadata.latency), sum(metadata.frames.values()))
    assert metadata.filter_order == getattr(flow.outer, "order", 0)
    assert (names[-1] == "state.filter") == bool(metadata.filter_order)


def test_temperature_scales_the_noise_and_seeds_differ(flow, exported):
    features = features_of(flow, 6)
    drawn = {
        (seed, t): streamed(exported, features, 6, [2], seed=seed, temperature=t)
        for seed, t in [(1, 1.0), (2, 1.0), (1, 0.5)]
    }
    close(drawn[1, 0.5], eager(flow, features, 6, seed=1, temperature=0.5))
    assert (drawn[1, 1.0] - drawn[2, 1.0]).abs().max() > 0.01
    assert not torch.equal(streamed(exported, features, 6, []), drawn[1, 1.0])


def test_row_b_of_a_batch_is_the_seed_plus_b(flow, exported):
    if not exported.metadata.frames:
        pytest.skip("it has no frames")
    rows = [features_of(flow, 6, seed=i) for i in range(3)]
    batch = {k: torch.stack([torch.as_tensor(row[k]) for row in rows]) for k in flow.spec.features}
    x = exported.synthesize(batch, seed=10)
    for b, row in enumerate(rows):
        close(x[b], exported.synthesize(row, seed=10 + b)[0])


def test_many_streams_at_once_are_bit_equal_to_each_alone(flow, exported):
    jobs = [(features_of(flow, 12, seed=i), i) for i in range(16)]

    def one(job):
        features, seed = job
        return streamed(exported, features, 12, range(1, 12, 1 + seed % 3), seed=seed)

    alone = [one(job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        for together, x in zip(pool.map(one, jobs), alone, strict=True):
            assert torch.equal(together, x)


def test_samples_come_as_soon_as_their_look_ahead_is_there(flow, exported):
    metadata, features = exported.metadata, features_of(flow, 5)
    fixed = {k: v for k, v in features.items() if not isinstance(v, torch.Tensor)}
    stream = exported.stream(seed=1, features=fixed)
    hop, ahead = flow.spec.hop, metadata.latency
    counts = [len(stream.push(split(features, i, i + 1))) // hop for i in range(5)]
    assert counts == ([0] * ahead + [1] * 5)[:5]
    assert len(stream.finish()) == 5 * hop - sum(counts) * hop
    assert stream.latency == ahead * hop / RATE


def test_long_inputs_run_in_chunks_of_bounded_size(flow, exported):
    sizes = []

    graph = getattr(exported.compute, "run", exported.compute)  # before a filter, if there is one

    def spy(noise, features, state):
        sizes.append(noise.shape[1])
        return graph(noise, features, state)

    watched, features = Exported(exported.metadata, spy, "watched"), features_of(flow, 5000)
    count = None if exported.metadata.frames else 5000
    x = watched.synthesize(features, seed=0, frames=count)
    assert x.shape == (1, 5000 * flow.spec.hop)
    assert max(sizes) <= 8192
    assert len(sizes) >= 3
    # Phases add up over 5,000 frames: the eager model's own rounding is 2.4e-5 of the scale here.
    close(x[0], eager(flow, features, 5000, seed=0), 1e-4)


def test_numpy_arrays_and_one_array_of_frames_are_taken(flow, exported):
    features = {
        k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in features_of(flow, 5).items()
    }
    if not exported.metadata.frames:
        pytest.skip("it has no frames")
    fixed = {k: v for k, v in features.items() if not isinstance(v, np.ndarray)}
    together = np.concatenate([v for v in features.values() if isinstance(v, np.ndarray)], 1)
    together.flags.writeable = False
    stream = exported.stream(seed=3, features=fixed)
    x = torch.cat([stream.push(together), stream.finish()])
    assert torch.equal(x, exported.synthesize(features, seed=3)[0])


def test_a_file_below_the_signal_to_error_limit_is_refused(signals):
    flow, path, report = signals(FEW[1])
    assert 100 < report.decibels < 200
    with pytest.raises(ExportMismatch, match="above their error; the limit is 400"):
        verify(load(path), flow, "onnx", limit=Limit(decibels=400.0))
    looser = verify(load(path), flow, "onnx", limit=Limit(tolerance=0.0, decibels=100.0))
    assert looser.decibels == report.decibels
