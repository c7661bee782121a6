"""What is exported draws what the model draws, whatever was done to its weights before."""

from __future__ import annotations

import pytest
import torch

from distill.contract import DataSpec, FeatureSpec
from distill.export import ONNX, PT2, load
from distill.models import iaf, wavenet_iaf

POINTS = DataSpec(3, (1.0, 2.0, 3.0), (1.0, 0.5, 2.0))
LABELS = DataSpec(3, features={"digit": FeatureSpec("label", 4), "pose": FeatureSpec("vector", 2)})
MODELS = {
    "iaf": lambda: iaf(POINTS, layers=2, hidden=[8]),
    "iaf of labels": lambda: iaf(LABELS, layers=2, hidden=[8]),
    "wavenet_iaf of points": lambda: wavenet_iaf(POINTS, flows=[2, 1], channels=4),
    "wavenet_iaf of labels": lambda: wavenet_iaf(LABELS, flows=[2], channels=4, block=2),
}


@pytest.mark.parametrize("backend", [ONNX(), PT2()], ids=["onnx", "pt2"])
@pytest.mark.parametrize("name", MODELS)
def test_weights_that_were_just_written_are_exported_as_they_draw(tmp_path, name, backend):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    vector = torch.nn.utils.parameters_to_vector(model.parameters())
    moved = vector + 0.1 * torch.randn_like(vector)
    torch.nn.utils.vector_to_parameters(moved, model.parameters())
    file = backend.write(model, tmp_path / f"student{backend.suffix}")
    features = None
    if model.spec.features:
        features = {"digit": torch.tensor([1, 3]), "pose": torch.randn(2, 2)}
    wanted = model.sample(2, features, seed=0)
    torch.testing.assert_close(load(file).sample(2, features, seed=0), wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_is_refused_before_anything_is_written(tmp_path, dtype):
    model = MODELS["iaf"]().to(dtype)
    with pytest.raises(ValueError, match=r"export: wanted a model in float32 or float64, got .*16"):
        ONNX().write(model, tmp_path / "student.onnx")
    assert not list(tmp_path.iterdir())
