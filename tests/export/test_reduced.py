"""Files of reduced precision: a stated error, never a silent one."""

from __future__ import annotations

import onnx
import pytest
import torch

from distill.contract import DataSpec
from distill.export import AOTI, ONNX, PT2, ExportMismatch, Limit, ONNXInt8, accept, load, verify
from distill.models import iaf
from tests.export.students import MEL, WIDE, features_of, student

CASES = {
    "int8": (ONNXInt8, "int8", ".int8.onnx"),
    "bf16": (lambda: PT2("bfloat16"), "bfloat16", ".bf16.pt2"),
    "compiled bf16": (lambda: AOTI("bfloat16"), "bfloat16", ".bf16.aoti.pt2"),
}


def model():
    return student({"mel": MEL}, flows=[2, 1], mode="repeat", layers=1, channels=16, look_ahead=1)


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[] if c == "int8" else pytest.mark.slow) for c in CASES]
)
def test_its_error_is_measured_and_reported(case: str, tmp_path):
    build, precision, suffix = CASES[case]
    flow = model()
    path, report = accept(build(), flow, tmp_path)
    assert path.name == f"student{suffix}"
    assert report.limit.decibels == 30
    assert 30 < report.decibels < 100
    assert 1e-6 < report.rms_x < report.x < 0.1
    assert report.chunked_x > 1e-6
    exported = load(path)
    assert exported.metadata.precision == precision
    features = features_of(flow, 7)
    x = exported.synthesize(features, seed=2)
    noise = torch.from_numpy(_noise(7 * flow.spec.hop))[None]
    with torch.no_grad():
        eager = flow.draw(noise, {k: v[None] for k, v in features.items()}).x
    assert (x - eager).abs().max() < 0.05
    assert not torch.equal(x, eager)
    if precision == "int8":
        kinds = [node.op_type for node in onnx.load(path).graph.node]
        assert kinds.count("MatMulInteger") == 10  # two a layer; a flow, its context and hidden one
        assert "MatMul" in kinds  # the products that set location and scale are left alone
    with pytest.raises(ExportMismatch, match=r"dB above their error; the limit is 150\.0 dB"):
        verify(exported, flow, build().name, limit=Limit(decibels=150.0))


def _noise(sites: int):
    from distill.export import Noise

    return Noise("normal", 2).draw(sites)


def test_of_blocks_and_filters_only_the_inner_products_are_reduced(tmp_path):
    flow = student({"mel": WIDE}, flows=[1], mode="repeat", block=8, hop=8, order=12)
    path, report = accept(ONNXInt8(decibels=20), flow, tmp_path)
    assert min(flow.bijector.layers[0].conditioner.last.weight.shape) >= 16  # wide, and yet exact
    assert 20 < report.decibels < 100
    nodes = onnx.load(path).graph.node
    reduced = [n.name.split("/")[0].split(".")[-1] for n in nodes if n.op_type == "MatMulInteger"]
    assert sorted(reduced) == ["hidden", "out", "taps"]


@pytest.mark.parametrize("build", [ONNXInt8, lambda: PT2("bfloat16")])
def test_a_model_in_which_nothing_can_be_reduced_is_refused(build, tmp_path):
    with pytest.raises(ValueError, match=r"export: .* wanted"):
        accept(build(), iaf(DataSpec(sites=2), 1, [4]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_full_precision_is_not_held_to_decibels():
    assert ONNX().limit == PT2().limit == AOTI().limit == Limit(1e-6, None)
    with pytest.raises(ValueError, match="precision=full or bfloat16, got 'half'"):
        PT2("half")
