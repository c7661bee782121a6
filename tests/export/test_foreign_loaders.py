"""What loaders of other languages and older runtimes find: opset, axes, the file beside."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from distill.contract import DataSpec
from distill.export import ONNX, Noise, ONNXInt8, accept, load
from distill.models import iaf
from tests.export.students import HOP, RATE, features_of

_FLOOR = 21  # the newest opset of onnxruntime 1.20


def opset_of(path: Path) -> int:
    (version,) = (entry.version for entry in onnx.load(path).opset_import if not entry.domain)
    return version


def test_the_floor_that_the_package_declares_reads_the_default_opset(tmp_path):
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'"onnxruntime>=(.*?)"', text)[1] == "1.20"
    path = ONNX().write(iaf(DataSpec(sites=2), 1, [4]), tmp_path / "a.onnx")
    assert opset_of(path) == ONNX().opset == ONNXInt8().opset <= _FLOOR
    assert onnx.load(path).ir_version <= 10


@pytest.mark.parametrize("opset", [18, 20, 21, 23])
def test_the_opset_that_is_asked_for_is_written(opset, tmp_path):
    flow = iaf(DataSpec(sites=2), 1, [4])
    path, _ = accept(ONNX(opset=opset), flow, tmp_path)
    assert opset_of(path) == opset


@pytest.mark.parametrize("opset", [5, 13, 17, 24, 99, -1])
@pytest.mark.parametrize("backend", [ONNX, ONNXInt8])
def test_other_opsets_are_refused_by_name(backend, opset):
    with pytest.raises(ValueError, match=rf"export\.opset: wanted 18 to 23, got {opset}"):
        backend(opset=opset)


def test_what_the_runtime_says_is_told(tmp_path):
    path = ONNX().write(iaf(DataSpec(sites=2), 1, [4]), tmp_path / "a.onnx")
    model = onnx.load(path)
    model.opset_import[0].version = 99
    del model.metadata_props[:]  # with the digest of what it was
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"refuses it: .*opset.*Export it again") as error:
        load(path)
    assert "not an exported sampler" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", ["speakers", "label only"])
def test_axes_have_the_names_that_people_use(case, signals):
    _, path, _ = signals(f"onnx-{case}")
    model = onnx.load(path)
    named = {
        value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert named["noise"] == named["x"] == named["log_prob"] == ["batch", "samples"]
    assert named["speaker"] == ["batch"]
    if case == "speakers":
        assert named["mel"] == ["batch", "frames", 5]
    assert all(axes[0] == "batch" for axes in named.values())
    inner = {a.dim_param for v in model.graph.value_info for a in v.type.tensor_type.shape.dim}
    assert not [name for name in inner if re.search(r"\bs\d+\b", name)]


def test_a_file_of_fixed_sites_names_its_batch(tmp_path):
    path = ONNX().write(iaf(DataSpec(sites=2), 1, [4]), tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(path)
    assert [node.shape for node in session.get_inputs()] == [["batch", 2]]
    assert [node.shape for node in session.get_outputs()] == [["batch", 2]] * 2


def test_the_file_beside_is_all_that_a_foreign_loader_needs(signals):
    """Synthesis from the sidecar and the runtime alone, in chunks, as another language would."""
    flow, path, _ = signals("onnx-speakers")
    about = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
    assert (about["sample_rate"], about["hop"], about["base"]) == (RATE, HOP, "normal")
    assert about["verification"]["backend"] == "onnx"
    assert about["filter"] is None
    exec(f"import numpy; wanted = {about['noise']['numpy']}", drawn := {"seed": 3, "samples": 5})
    assert np.array_equal(drawn["wanted"].astype(np.float32), Noise(about["base"], 3).draw(5))
    session = onnxruntime.InferenceSession(path)
    assert [end["name"] for end in about["inputs"]] == [n.name for n in session.get_inputs()]
    assert [end["name"] for end in about["outputs"]] == [n.name for n in session.get_outputs()]
    for end, node in zip(about["inputs"], session.get_inputs(), strict=True):
        assert (end["axes"], f"tensor({end['dtype']})") == (
            node.shape,
            node.type.replace("float)", "float32)"),
        )

    features = {k: np.asarray(v) for k, v in features_of(flow, 9).items()}
    mel, late = features["mel"].astype(np.float32), about["latency"]
    state = {}
    for part in about["state"]:
        value = np.zeros((1, *part["shape"]), np.float32)
        if part["fill"] == "frames":  # the first frame again and again, then those of look-ahead
            before = part["shape"][0] - late
            value = np.concatenate([np.repeat(mel[:1], before, 0), mel[:late]])[None]
        state[part["name"]] = value
    rest = np.concatenate([mel[late:], np.repeat(mel[-1:], late, 0)])
    noise, sound = Noise(about["base"], 3).draw(9 * about["hop"])[None], []
    for a, b in ((0, 2), (2, 9)):
        given = {
            "noise": noise[:, a * about["hop"] : b * about["hop"]],
            "mel": rest[None, a:b],
            "speaker": features["speaker"][None],
            **state,
        }
        names = [end["name"] for end in about["outputs"]]
        out = dict(zip(names, session.run(names, given), strict=True))
        sound.append(out["x"])
        state = {part["name"]: out[part["after"]] for part in about["state"]}
    wanted = load(path).synthesize(features_of(flow, 9), seed=3).numpy()
    np.testing.assert_allclose(np.concatenate(sound, 1), wanted, atol=1e-5)
