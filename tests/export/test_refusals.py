from __future__ import annotations

import json
import pickle
import zipfile

import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distill.contract import DataSpec, FeatureSpec
from distill.export import ONNX, PT2, load
from distill.models import iaf

FEATURES = {"color": FeatureSpec("vector", 3), "digit": FeatureSpec("label", 5)}
SUFFIXES = (".pt2", ".onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("good")
    flow = iaf(DataSpec(sites=3, features=FEATURES), 1, [4])
    PT2().write(flow, path / "good.pt2")
    ONNX().write(flow, path / "good.onnx")
    return path


def inputs(batch: int = 2):
    return torch.zeros(batch, 3), {
        "color": torch.zeros(batch, 3),
        "digit": torch.zeros(batch, dtype=torch.int64),
    }


def rewritten(source, target, change):
    """Copy a zip archive, passing each part through `change(name, content)`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name.partition("/")[2], old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(folder, tmp_path, suffix: str, share: float):
    content = (folder / f"good{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"cut.*not an exported sampler") as error:
        load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("suffix", "other"), [SUFFIXES, SUFFIXES[::-1]])
def test_a_renamed_file_is_refused(folder, tmp_path, suffix: str, other: str):
    path = tmp_path / f"renamed{other}"
    path.write_bytes((folder / f"good{suffix}").read_bytes())
    with pytest.raises(ValueError, match="not an exported sampler"):
        load(path)


def test_an_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.pt2 or \.onnx or \.loops\.pt, got '\.txt'"):
        load(tmp_path / "a.txt")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_file_is_named(tmp_path, suffix: str):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / f"nowhere{suffix}")


def test_a_foreign_pt2_is_refused(tmp_path):
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "foreign.pt2")
    with pytest.raises(ValueError, match="no metadata"):
        load(tmp_path / "foreign.pt2")


def test_a_foreign_onnx_is_refused(folder, tmp_path):
    model = onnx.load(folder / "good.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(ValueError, match="no metadata"):
        load(tmp_path / "foreign.onnx")


def test_a_pt2_from_another_torch_is_refused(folder, tmp_path):
    def change(name: str, content: bytes):
        if name != "extra/distill.json":
            return content
        return json.dumps({**json.loads(content), "torch": "1.99.0"})

    path = rewritten(folder / "good.pt2", tmp_path / "old.pt2", change)
    with pytest.raises(ValueError, match=r"written by torch 1\.99\.0.*Export it again"):
        load(path)


def test_a_pt2_that_rewriting_left_whole_loads(folder, tmp_path):
    path = rewritten(folder / "good.pt2", tmp_path / "same.pt2", lambda _, content: content)
    assert torch.equal(load(path)(*inputs())[0], load(folder / "good.pt2")(*inputs())[0])


class Bomb:
    def __init__(self, target) -> None:
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


@pytest.mark.parametrize("part", ["data/sample_inputs/model.pt", "data/weights/model.pt"])
def test_a_hostile_pickle_is_never_run(folder, tmp_path, part: str):
    bomb = pickle.dumps(Bomb(tmp_path / "boom"))

    def change(name: str, content: bytes):
        return bomb if name == part else content

    path = rewritten(folder / "good.pt2", tmp_path / "bad.pt2", change)
    if part == "data/weights/model.pt":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/{part}", bomb)
    with pytest.raises(ValueError, match="not an exported sampler"):
        load(path)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    ("part", "old", "new", "why"),
    [
        (
            "data/weights/model_weights_config.json",
            '"use_pickle": false',
            '"use_pickle": true',
            "pickle",
        ),
        (
            "models/model.json",
            "torch.ops.aten.linear.default",
            "torch.hub.load",
            "calls torch.hub.load",
        ),
        ("models/model.json", "Symbol('", "open('boom", "expression"),
        *(
            ("models/model.json", "torch.ops.aten.linear.default", name, f"calls {name}")
            for name in (
                "torch.ops.aten.from_file.default",
                "torch.ops.aten.set_.source_Storage",
                "torch.ops.aten.empty.memory_format",
                "torch.ops.aten.as_strided.default",
                "torch.ops.aten.add.out",
                "torch.ops.distill.own.default",
                "torch.ops.higher_order.cond",
                "_operator.call",
            )
        ),
        (
            "models/model.json",
            '"torch.ops.aten.linear.default"',
            "3",
            "without an operator|calls 3",
        ),
    ],
)
def test_an_archive_that_could_run_code_is_refused(
    folder, tmp_path, part: str, old: str, new: str, why: str
):
    changed = []

    def change(name: str, content: bytes):
        if name == part and old.encode() in content:
            changed.append(name)
            return content.replace(old.encode(), new.encode())
        return content

    path = rewritten(folder / "good.pt2", tmp_path / "bad.pt2", change)
    if not changed:
        pytest.fail(f"{part} holds no {old}")
    with pytest.raises(ValueError, match=why):
        load(path)


def test_an_onnx_whose_weights_lie_elsewhere_is_refused(folder, tmp_path):
    model = onnx.load(folder / "good.onnx")
    (tmp_path / "secret").write_bytes(bytes(4096))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    (tmp_path / "elsewhere.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match="lies in another file"):
        load(tmp_path / "elsewhere.onnx")


def test_an_onnx_with_foreign_operators_is_refused(folder, tmp_path):
    model = onnx.load(folder / "good.onnx")
    model.opset_import.add(domain="my.library", version=1)
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ValueError, match=r"operators of my\.library"):
        load(tmp_path / "odd.onnx")


def test_a_compressed_pt2_is_refused_before_it_is_unpacked(folder, tmp_path):
    path = tmp_path / "bomb.pt2"
    with (
        zipfile.ZipFile(folder / "good.pt2") as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(ValueError, match="compressed"):
        load(path)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    suffix=st.sampled_from(SUFFIXES),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4),
    swap=st.sampled_from([b"", b"aten.from_file", b"aten.fill_", b"os.system"]),
)
def test_a_file_with_bytes_changed_loads_or_is_refused_in_words(
    folder, tmp_path, suffix, places, swap
):
    content = bytearray((folder / f"good{suffix}").read_bytes())
    for share, value in places:
        content[int(share * len(content))] = value
    if swap:
        content = bytearray(bytes(content).replace(b"aten.linear", swap))
    home = tmp_path / f"home{suffix}"
    home.mkdir(exist_ok=True)
    path = home / f"odd{suffix}"
    path.write_bytes(content)
    said = ""
    try:
        load(path)
    except ValueError as error:
        said = str(error)
    assert "\n" not in said
    assert list(home.iterdir()) == [path]


NOISE, GIVEN = inputs()
BAD = {
    "noise of other sites": (torch.zeros(2, 4), GIVEN, r"noise wanted shape \(batch, 3\)"),
    "noise of three axes": (torch.zeros(2, 3, 1), GIVEN, "noise wanted shape"),
    "no rows": (torch.zeros(0, 3), GIVEN, "noise wanted shape"),
    "noise in double": (NOISE.double(), GIVEN, "noise wanted torch.float32"),
    "NaN in the noise": (NOISE + float("nan"), GIVEN, "noise wanted finite"),
    "no features": (NOISE, None, "wanted the features color, digit; got none"),
    "a missing feature": (NOISE, {"color": GIVEN["color"]}, "got color"),
    "a feature too many": (NOISE, {**GIVEN, "more": NOISE}, "got color, digit, more"),
    "other channels": (NOISE, {**GIVEN, "color": torch.zeros(2, 4)}, r"'color' wanted shape"),
    "other rows": (NOISE, {**GIVEN, "color": torch.zeros(3, 3)}, r"'color' wanted shape \(2, 3\)"),
    "NaN features": (NOISE, {**GIVEN, "color": NOISE / 0}, "'color' wanted finite"),
    "a label in floats": (NOISE, {**GIVEN, "digit": torch.zeros(2)}, "'digit' wanted torch.int64"),
    "a label out of range": (NOISE, {**GIVEN, "digit": torch.tensor([0, 5])}, r"labels 0\.\.4"),
    "not a tensor": ([[0.0] * 3], GIVEN, "noise wanted"),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bad_inputs_are_refused_and_the_next_call_served(folder, suffix: str):
    exported = load(folder / f"good{suffix}")
    good = exported(NOISE, GIVEN)[0]
    for noise, features, why in BAD.values():
        with pytest.raises(ValueError, match=why):
            exported(noise, features)
    assert torch.equal(exported(NOISE, GIVEN)[0], good)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_inputs_that_are_not_contiguous_are_read_rightly(folder, suffix: str):
    exported = load(folder / f"good{suffix}")
    noise = torch.randn(3, 2).T
    assert torch.equal(exported(noise, GIVEN)[0], exported(noise.contiguous(), GIVEN)[0])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_files_do_not_say_where_the_code_lay(folder, suffix: str):
    content = (folder / f"good{suffix}").read_bytes()
    assert b"site-packages" not in content
    assert __file__.rpartition("/tests/")[0].encode() not in content
