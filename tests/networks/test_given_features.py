"""Features as users give them to encoders: what is taken, and what is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from distill.contract import DataSpec, FeatureSpec
from distill.functional import may_look
from distill.networks import FrameEncoder, VectorEncoder

VECTORS = {"digit": FeatureSpec("label", 3), "pose": FeatureSpec("vector", 2)}
FRAMES = {"mel": FeatureSpec("frames", 4), "f0": FeatureSpec("frames", 2), **VECTORS}
ENCODERS = {
    "VectorEncoder": VectorEncoder(DataSpec(2, features=VECTORS)),
    "FrameEncoder": FrameEncoder(DataSpec(None, features=FRAMES, hop=4), mode="repeat"),
}
GIVEN = {
    "mel": torch.ones(2, 5, 4),
    "f0": torch.ones(2, 5, 2),
    "digit": torch.tensor([0, 2]),
    "pose": torch.ones(2, 2),
}


@pytest.fixture(params=ENCODERS)
def encoder(request):
    return ENCODERS[request.param]


@pytest.fixture
def given(encoder):
    return {name: GIVEN[name] for name in encoder.features}


def test_a_feature_that_would_not_be_read_is_refused(encoder, given):
    # A name that is mistyped stood for one that may be left out, and is estimated.
    with pytest.raises(ValueError, match=r"among .*pose, got F0 too, which it would not read"):
        encoder({**given, "F0": torch.ones(2, 5, 2)})
    assert encoder({**given, "F0": None}).rows.shape[0] == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"digit": torch.tensor([0, 3])}, "'digit' wanted labels from 0 to 2, got 3"),
        ({"digit": torch.tensor([-1, 5])}, "'digit' wanted labels from 0 to 2, got -1"),
        ({"digit": torch.tensor([0, 3], dtype=torch.int32)}, "from 0 to 2, got 3"),
        ({"digit": torch.tensor([0.0, 2.0])}, r"from 0 to 2, got float32\. .*\.long\(\)"),
        ({"digit": torch.tensor(1)}, r"'digit' wanted shape \(batch,\), got \(\)"),
        ({"digit": np.array([0, 2])}, r"'digit' wanted a tensor, got ndarray.*torch\.as_tensor"),
        ({"pose": [[0.0, 1.0]]}, r"'pose' wanted a tensor, got list.*torch\.as_tensor"),
        ({"pose": torch.ones(2, 3)}, r"'pose' wanted shape \(batch, 2\), got \(2, 3\)"),
        ({"pose": None}, "'pose' wanted shape .* got none.*digit, pose"),
        ({"pose": torch.ones(3, 2)}, "as many rows of each feature, got 2 of .* 3 of 'pose'"),
    ],
)
def test_a_feature_that_does_not_fit_is_refused_by_name(encoder, given, change, says):
    assert encoder(given).rows.shape[0] == 2
    with pytest.raises(ValueError, match=f"^{type(encoder).__name__}: .*{says}"):
        encoder({**given, **change})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mel": torch.ones(2, 0, 4), "f0": torch.ones(2, 0, 2)}, "'mel' wanted one frame or more"),
        ({"f0": torch.ones(2, 6, 2)}, "as many frames of each feature, got 5 of 'mel' and 6"),
        ({"mel": np.ones((2, 5, 4))}, "'mel' wanted a tensor, got ndarray"),
    ],
)
def test_frames_that_do_not_fit_are_refused_by_name(change, says):
    with pytest.raises(ValueError, match=says):
        ENCODERS["FrameEncoder"]({**GIVEN, **change})


@pytest.mark.parametrize("features", [torch.ones(2), [torch.ones(2)], np.ones(2)])
def test_features_that_are_not_by_name_are_refused_with_the_names(encoder, features):
    with pytest.raises(ValueError, match=r"features by name, as \{.*'digit': \.\.\., 'pose'"):
        encoder(features)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool])
def test_labels_of_any_whole_type_are_labels(encoder, given, dtype):
    labels = torch.tensor([1, 0])
    wanted = encoder({**given, "digit": labels}).rows
    assert torch.equal(encoder({**given, "digit": labels.to(dtype)}).rows, wanted)
    assert not torch.equal(encoder({**given, "digit": labels.flip(0)}).rows, wanted)


def test_a_batch_of_no_rows_has_a_context_of_none(encoder, given):
    empty = {name: value[:0] for name, value in given.items()}
    assert encoder(empty).rows.shape[0] == 0


def test_frames_are_refused_by_the_encoder_of_vectors_when_it_is_built():
    with pytest.raises(ValueError, match=r"got frames: mel, f0\. Use FrameEncoder"):
        VectorEncoder(DataSpec(2, features=FRAMES))


def test_nothing_is_looked_at_inside_of_traces_transforms_and_counters():
    seen: dict[str, bool] = {}

    def note(name, value):
        seen[name] = may_look(value)
        return value + 1

    labels = torch.tensor([0, 1])
    note("plainly", labels)
    torch.func.vmap(lambda v: note("vmap", v))(labels)
    make_fx(lambda v: note("make_fx", v))(labels)
    torch.jit.trace(lambda v: note("jit", v), (labels,), check_trace=False)
    torch.compile(lambda v: v + may_look(v), backend="eager", fullgraph=True)(labels)
    with FlopCounterMode(display=False):
        note("counter", labels)
    note("meta", labels.to("meta"))
    assert seen == {
        "plainly": True,
        "vmap": False,
        "make_fx": False,
        "jit": False,
        "counter": False,
        "meta": False,
    }


def test_exported_encoders_take_other_batches_of_labels(encoder):
    class Rows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = encoder

        def forward(self, features):
            return self.encoder(features).rows

    batch = torch.export.Dim("batch", min=1)
    given = {name: GIVEN[name] for name in encoder.features}
    dims = {name: {0: batch} for name in given}
    program = torch.export.export(Rows(), (given,), dynamic_shapes={"features": dims})
    more = {name: torch.cat([value, value[:1]]) for name, value in given.items()}
    torch.testing.assert_close(program.module()(more), encoder(more).rows)


def test_encoding_is_compiled_in_one_graph():
    encoder = ENCODERS["VectorEncoder"]
    compiled = torch.compile(encoder, backend="eager", fullgraph=True)
    given = {name: GIVEN[name] for name in VECTORS}
    assert torch.equal(compiled(given).rows, encoder(given).rows)


def test_labels_are_mapped_over_without_being_looked_at():
    encoder, labels = ENCODERS["VectorEncoder"], torch.tensor([[0, 1], [2, 0]])
    rows = torch.func.vmap(lambda digit: encoder({"digit": digit, "pose": GIVEN["pose"]}).rows)
    wanted = [encoder({"digit": digit, "pose": GIVEN["pose"]}).rows for digit in labels]
    assert torch.equal(rows(labels), torch.stack(wanted))


def test_the_gradient_of_each_row_with_labels_is_found_by_one_transform(encoder, given):
    def gradient(row):
        def total(pose):
            features = {**row, "pose": pose}
            return encoder({k: v[None] for k, v in features.items()}).rows.sin().sum()

        return torch.func.grad(total)(row["pose"])

    got = torch.func.vmap(gradient)(given)
    wanted = [gradient({k: v[i] for k, v in given.items()}) for i in range(2)]
    torch.testing.assert_close(got, torch.stack(wanted))
