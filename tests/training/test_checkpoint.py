"""Checkpoints that are cut short, hostile, foreign, or of another model are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import distill
from distill.bijectors import Flip
from distill.contract import DataSpec
from distill.distributions import Logistic
from distill.training import Checkpoint


def test_a_checkpoint_cut_short_is_refused(tmp_path: Path) -> None:
    data = distill.as_data(torch.randn(40, 2))
    distill.fit(distill.maf(data.spec, 1, [8]), data, folder=tmp_path, steps=2, batch_size=8)
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        distill.load(tmp_path)


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple:
            return (Path.touch, (marker,))

    torch.save({"format": 1, "weights": Hostile()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="never run"):
        distill.load(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("target", ["os.system", "distill.files.os.system"])
def test_a_checkpoint_may_not_name_foreign_classes(tmp_path: Path, target: str) -> None:
    config = {"teacher": {"_target_": target, "command": f"touch {tmp_path}/ran"}}
    Checkpoint("teacher", config, DataSpec(sites=2), {}).save(tmp_path)
    with pytest.raises(ValueError, match="trusted"):
        distill.load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        distill.load(tmp_path)
    torch.save({"weights": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="not a checkpoint of distill"):
        distill.load(tmp_path)


def test_weights_of_another_model_than_the_config_builds_are_refused(tmp_path: Path) -> None:
    config = {"teacher": {"_target_": "distill.models.maf", "layers": 1, "hidden": [4]}}
    Checkpoint("teacher", config, DataSpec(sites=2), {"other": torch.ones(1)}).save(tmp_path)
    with pytest.raises(ValueError, match=r"Missing key.*the version of distill that wrote it"):
        distill.load(tmp_path)


def test_a_model_comes_back_in_the_precision_that_it_was_saved_in(tmp_path: Path) -> None:
    model = distill.maf(DataSpec(sites=2), layers=1, hidden=[4]).double()
    loaded = distill.load(distill.save(model, tmp_path / "model.pt"))
    x = torch.randn(3, 2, dtype=torch.float64)
    assert torch.equal(loaded.log_prob(x), model.eval().log_prob(x))


def test_what_is_saved_at_home_is_loaded_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    distill.save(distill.maf(DataSpec(sites=2), layers=1, hidden=[4]), "~/model.pt")
    assert distill.load("~/model.pt").spec.sites == 2
    with pytest.raises(ValueError, match="save: wanted a model of distill, got int"):
        distill.save(3, "~/model.pt")  # type: ignore[arg-type]


def test_a_folder_may_have_a_dot_in_its_name_and_no_file_of_another_kind_is_replaced(
    tmp_path: Path,
) -> None:
    model = distill.maf(DataSpec(sites=2), layers=1, hidden=[4])
    (tmp_path / "v1.2").mkdir()
    assert distill.save(model, tmp_path / "v1.2") == tmp_path / "v1.2" / "checkpoint.pt"
    assert distill.load(tmp_path / "v1.2").spec.sites == 2
    (tmp_path / "student.onnx").write_text("kept")
    for name in ("student.onnx", "v1.3"):
        with pytest.raises(ValueError, match=r"save: wanted a \.pt file or a folder, got"):
            distill.save(model, tmp_path / name)
    assert (tmp_path / "student.onnx").read_text() == "kept"


def test_a_device_that_is_not_there_is_not_the_files_fault(tmp_path: Path) -> None:
    file = distill.save(distill.maf(DataSpec(sites=2), layers=1, hidden=[4]), tmp_path / "model.pt")
    with pytest.raises(ValueError, match="device=cuda:77 can't be used here"):
        distill.load(file, device="cuda:77")


def swap_base(model: distill.Flow) -> None:
    model.base = Logistic()


def put_in_a_flip(model: distill.Flow) -> None:
    model.bijector.layers.append(Flip())  # type: ignore[union-attr,operator]


def normalize(model: distill.Flow) -> None:
    layer = model.bijector.layers[0].bijector.conditioner.layers[0]  # type: ignore[union-attr,index]
    torch.nn.utils.parametrizations.spectral_norm(layer)


@pytest.mark.parametrize("change", [swap_base, put_in_a_flip, normalize])
def test_a_model_that_was_changed_since_it_was_built_is_not_saved_as_another(
    change: Callable[[distill.Flow], None], tmp_path: Path
) -> None:
    model = distill.maf(DataSpec(sites=2), layers=2, hidden=[4], mixture=2, norm="act")
    distill.save(model.double(), tmp_path / "model.pt")
    change(model)
    with pytest.raises(ValueError, match=r"save: wanted the Flow as distill\.models\.maf"):
        distill.save(model, tmp_path / "changed.pt")
    with pytest.raises(ValueError, match=r"save: wanted the Flow"):
        distill.fit(model, torch.randn(40, 2), folder=tmp_path / "run", steps=1, batch_size=8)
    assert not (tmp_path / "changed.pt").exists()
