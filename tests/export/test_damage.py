"""Files with a byte changed: refused in a line that names the file, whatever would read them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch

from distill.contract import DataSpec
from distill.export import ONNX, PT2, load
from distill.export.onnx_check import SEAL
from distill.models import iaf


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good")
    flow = iaf(DataSpec(sites=3), 1, [4])
    PT2().write(flow, path / "good.pt2")
    ONNX().write(flow, path / "good.onnx")
    return path


def test_an_onnx_with_a_byte_of_a_weight_changed_is_refused(folder, tmp_path):
    content = (folder / "good.onnx").read_bytes()
    load(folder / "good.onnx")
    weights = [t.raw_data for t in onnx.load(folder / "good.onnx").graph.initializer]
    weights = [weight for weight in weights if len(weight) >= 16]
    assert weights
    for weight in weights:
        damaged = bytearray(content)
        damaged[content.index(weight) + 1] ^= 1
        (tmp_path / "odd.onnx").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"odd\.onnx: .*it is damaged"):
            load(tmp_path / "odd.onnx")


def test_an_onnx_of_a_version_without_digests_loads(folder, tmp_path):
    model = onnx.load(folder / "good.onnx")
    assert [entry.key for entry in model.metadata_props] == ["distill", SEAL]
    del model.metadata_props[1]
    onnx.save(model, tmp_path / "old.onnx")
    old, good = load(tmp_path / "old.onnx"), load(folder / "good.onnx")
    assert torch.equal(old(torch.ones(2, 3))[0], good(torch.ones(2, 3))[0])


@pytest.mark.parametrize("text", [b"\xff" * 40, b"[" * 5000], ids=["no UTF-8", "depth"])
def test_metadata_that_is_no_text_is_refused_with_the_name_of_the_file(folder, tmp_path, text):
    model = onnx.load(folder / "good.onnx")
    del model.metadata_props[1]
    model.metadata_props[0].value = "?" * len(text)
    content = model.SerializeToString()
    (tmp_path / "odd.onnx").write_bytes(content.replace(b"?" * len(text), text))
    with pytest.raises(ValueError, match=r"odd\.onnx: .*its metadata is not readable"):
        load(tmp_path / "odd.onnx")


def test_a_damaged_pt2_is_refused_without_a_traceback_of_torch(folder, tmp_path):
    content = bytearray((folder / "good.pt2").read_bytes())
    content[-30] = 255  # where the list of its parts begins
    path = tmp_path / "odd.pt2"
    path.write_bytes(content)
    script = f"from distill.export import load; load({str(path)!r})"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "torch can't read it" in ran.stderr
    assert "warnings above" not in ran.stderr
    assert ran.stderr.count("Traceback") == 1  # the script's own
