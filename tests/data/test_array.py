"""The split, the order of training, and the contract of data in memory."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from distill.contract import DataSpec, FeatureSpec
from distill.data import ArrayData, Modes
from distill.networks import VectorEncoder


def _data(count: int = 100, sites: int = 3, **settings: object) -> ArrayData:
    values = np.random.default_rng(1).normal(3, 2, size=(count, sites))
    return ArrayData(values, **settings)  # type: ignore[arg-type]


def test_training_and_held_out_values_are_all_the_values_once() -> None:
    values = np.arange(50.0)[:, None]
    data = ArrayData(values, held_out=0.2)
    train, held = data.train_values[:, 0].tolist(), data.held_out_values[:, 0].tolist()
    assert sorted(train + held) == values[:, 0].tolist()
    assert (len(train), len(held), data.train_size) == (40, 10, 40)


@pytest.mark.parametrize("kind", ["reversed", ">f8", ">f4"])
def test_an_array_may_lie_in_memory_as_it_likes(kind: str) -> None:
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    odd = np.flip(np.flip(values).copy()) if kind == "reversed" else values.astype(kind)
    data = ArrayData(odd, {"c": odd, "n": np.arange(50)[::-1], "b": values[:, 0] > 0})
    assert torch.equal(data.train_values, ArrayData(values).train_values)
    assert data.spec.features["b"] == FeatureSpec("label", 2)


def test_split_follows_the_seed() -> None:
    values = np.random.default_rng(0).normal(size=(50, 1))
    same, other = ArrayData(values, seed=1), ArrayData(values, seed=2)
    assert torch.equal(ArrayData(values, seed=1).held_out_values, same.held_out_values)
    assert not torch.equal(other.held_out_values, same.held_out_values)


def test_train_batch_is_a_pure_function_of_its_arguments() -> None:
    data, fresh = _data(), _data()
    for step in (0, 5, 40, 5):
        assert torch.equal(data.train_batch(step, 16, 3).x, fresh.train_batch(step, 16, 3).x)
    assert torch.equal(data.train_batch(7, 16, 3).x, _data().train_batch(7, 16, 3).x)
    assert not torch.equal(data.train_batch(7, 16, 3).x, data.train_batch(7, 16, 4).x)


def test_every_epoch_sees_every_training_value_once_in_another_order() -> None:
    data = ArrayData(np.arange(100.0)[:, None], held_out=0.1)
    steps = [data.train_batch(step, 15, 0).x[:, 0] for step in range(12)]
    first, second = torch.cat(steps).split(90)
    assert first.sort().values.tolist() == data.train_values[:, 0].sort().values.tolist()
    assert second.sort().values.tolist() == first.sort().values.tolist()
    assert not torch.equal(first, second)


def test_a_batch_may_be_larger_than_the_training_part() -> None:
    data = ArrayData(np.arange(10.0)[:, None])
    assert data.train_batch(2, 25, 0).x.shape == (25, 1)


def test_held_out_gives_everything_in_order() -> None:
    data = _data(100, held_out=0.25)
    batches = list(data.held_out(10))
    assert [len(b.x) for b in batches] == [10, 10, 5]
    assert torch.equal(torch.cat([b.x for b in batches]), data.held_out_values)


def test_spec_has_location_and_scale_of_the_training_part() -> None:
    data = _data()
    assert np.allclose(data.spec.loc, data.train_values.mean(0), atol=1e-5)
    assert np.allclose(data.spec.scale, data.train_values.std(0, correction=0), atol=1e-5)


def test_features_stay_with_their_values() -> None:
    values = np.random.default_rng(0).normal(size=(60, 2))
    data = ArrayData(values, {"double": 2 * values, "sign": (values[:, 0] > 0).astype(int)})
    batch = data.train_batch(3, 20, 0)
    assert batch.features is not None
    assert torch.equal(batch.features["double"], 2 * batch.x)
    assert torch.equal(batch.features["sign"], (batch.x[:, 0] > 0).long())
    assert data.spec.features["sign"] == FeatureSpec("label", 2)


def test_spec_survives_json() -> None:
    values = np.random.default_rng(0).normal(size=(60, 2))
    spec = ArrayData(values, {"c": values + 5}).spec
    again = DataSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert isinstance(again.features["c"].loc, tuple)


@pytest.mark.parametrize(
    "written", [{"sites": 2, "colour": 1}, {}, {"sites": 2, "features": {"c": {"size": 1}}}, [2]]
)
def test_spec_from_other_entries_raises(written: dict) -> None:
    with pytest.raises(ValueError, match="Spec: wanted entries among"):
        DataSpec.from_dict(written)


def test_encoder_standardizes_vector_features() -> None:
    values = np.random.default_rng(0).normal(size=(500, 2))
    data = ArrayData(values, {"c": values * 7 + 100, "k": (values[:, 0] > 0).astype(int)})
    batch = data.train_batch(0, data.train_size or 0, 0)
    rows = VectorEncoder(data.spec)(batch.features).rows
    assert torch.allclose(rows[:, :2].mean(0), torch.zeros(2), atol=1e-4)
    assert torch.allclose(rows[:, :2].std(0), torch.ones(2), atol=1e-2)
    assert set(rows[:, 2:].flatten().tolist()) == {0.0, 1.0}


def test_constant_condition_is_centered_and_kept() -> None:
    values = np.random.default_rng(0).normal(size=(50, 2))
    data = ArrayData(values, {"c": np.full((50, 1), 4.0)})
    context = VectorEncoder(data.spec)(data.train_batch(0, 5, 0).features)
    assert context.rows.tolist() == [[0.0]] * 5


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (np.zeros(5), {}, "shape"),
        (np.zeros((2, 2)), {}, "N >= 3"),
        (np.arange(10.0)[:, None], {"held_out": 1.0}, "held_out"),
        (np.arange(10.0)[:, None], {"held_out": 0.0}, "held_out"),
        (np.ones((10, 2)), {}, "column 0 is constant"),
        (1e9 + np.arange(10.0)[:, None], {}, "constant"),
        (np.arange(10.0)[:, None], {"features": {"c": np.zeros((4, 1))}}, "'c' wanted 10 rows"),
        (np.arange(10.0)[:, None], {"features": {"c": -np.arange(10)}}, "0 or more"),
        (np.array([[0.0], [np.nan], [1], [2]]), {}, "row 1, column 0 .*, 1 in all"),
    ],
)
def test_values_that_are_no_data_raise(values: np.ndarray, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ArrayData(values, **settings)


@pytest.mark.parametrize(("step", "size"), [(-1, 4), (0, 0)])
def test_impossible_batches_raise(step: int, size: int) -> None:
    with pytest.raises(ValueError, match="wanted a step >= 0"):
        _data().train_batch(step, size, 0)


def test_data_of_another_model_raises() -> None:
    data = _data(sites=3)
    data.check_matches(data.spec)
    with pytest.raises(ValueError, match="model wants data with sites=2, this data has sites=3"):
        data.check_matches(DataSpec(sites=2))
    with pytest.raises(ValueError, match="features"):
        data.check_matches(DataSpec(sites=3, features={"c": FeatureSpec("vector", 1)}))


def test_shares_must_sum_to_one() -> None:
    with pytest.raises(ValueError, match="summing to 1"):
        Modes(("a", "b"), torch.tensor([0.5, 0.4]), lambda x: x)


@pytest.mark.parametrize(
    ("values", "features", "way_out"),
    [
        (np.arange(20.0), {}, "Reshape them: a row a value"),
        (np.zeros((2, 2)), {}, "Give it more values"),
        (np.arange(20.0).reshape(10, 2), {"a": np.arange(10.0)}, r"as by \[:, None\]"),
        (np.arange(20.0).reshape(10, 2), {"a": np.ones((10, 3), int)}, r"\.astype\(float\)"),
    ],
)
def test_an_array_of_another_shape_is_told_the_way_that_fits(
    values: np.ndarray, features: dict[str, np.ndarray], way_out: str
) -> None:
    with pytest.raises(ValueError, match=way_out):
        ArrayData(values, features)
