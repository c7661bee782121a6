"""AOTInductor packages: refused before any of their code is loaded, and checked inputs."""

from __future__ import annotations

import shutil
import zipfile
from dataclasses import replace

import pytest
import torch

from distill.contract import DataSpec
from distill.export import AOTI, load
from distill.export.aoti import cpu
from distill.export.graph import SamplingGraph
from distill.models import iaf
from tests.export.students import HOP, MEL, student

GOOD = replace(SamplingGraph(iaf(DataSpec(sites=2), 1, [4])).metadata, cpu=cpu())


def package(path, metadata=GOOD, **more):
    """A package that is whole on the outside; its code is no code."""
    with zipfile.ZipFile(path, "w") as archive:
        for suffix, content in ((".so", b"\x7fELF"), (".cpp", b""), ("_metadata.json", b"{}")):
            archive.writestr(f"student/data/aotinductor/model/abc.wrapper{suffix}", content)
        archive.writestr("student/archive_format", b"pt2")
        archive.writestr("student/extra/distill.json", metadata.to_json())
        for name, content in more.items():
            archive.writestr(f"student/{name}", content)
    return path


def test_a_package_of_another_torch_is_refused(tmp_path):
    path = package(tmp_path / "a.aoti.pt2", replace(GOOD, torch="1.99.0"))
    with pytest.raises(ValueError, match=r"compiled by torch 1\.99\.0, .*\.onnx"):
        load(path)


def test_a_package_for_another_cpu_is_refused(tmp_path):
    path = package(tmp_path / "a.aoti.pt2", replace(GOOD, cpu=(*cpu(), "avx4096")))
    with pytest.raises(ValueError, match=r"another CPU; this one lacks avx4096.*\.onnx"):
        load(path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_package_is_refused(tmp_path, share: float):
    content = package(tmp_path / "whole.aoti.pt2").read_bytes()
    path = tmp_path / "cut.aoti.pt2"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"cut.*not an exported sampler"):
        load(path)


def test_a_package_that_is_no_code_or_holds_more_is_refused(tmp_path):
    with pytest.raises(ValueError, match="torch can't load it"):
        load(package(tmp_path / "a.aoti.pt2"))
    with pytest.raises(ValueError, match="unexpected parts: pickle"):
        load(package(tmp_path / "b.aoti.pt2", pickle=b"x"))


def test_a_package_renamed_to_another_format_is_refused(tmp_path):
    content = package(tmp_path / "a.aoti.pt2").read_bytes()
    for other in ("a.pt2", "a.onnx"):
        (tmp_path / other).write_bytes(content)
        with pytest.raises(ValueError, match="not an exported sampler"):
            load(tmp_path / other)


def test_without_a_compiler_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"wanted a C\+\+ compiler.*onnx"):
        AOTI().write(iaf(DataSpec(sites=2), 1, [4]), tmp_path / "a.aoti.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_compiled_code_would_read_wrongly_never_reaches_it(tmp_path):
    flow = student({"mel": MEL}, flows=[1], mode="repeat")
    exported = load(AOTI().write(flow, tmp_path / "student.aoti.pt2"))
    noise, mel = torch.randn(2, 5 * HOP), torch.randn(2, 5, 5)
    with torch.no_grad():
        wanted = flow.draw(noise, {"mel": mel}).x
    tangled = noise.T.contiguous().T, mel.transpose(1, 2).contiguous().transpose(1, 2)
    x, _ = exported(tangled[0], {"mel": tangled[1]})
    torch.testing.assert_close(x, wanted, rtol=0, atol=1e-5)
    for bad_noise, bad_mel in (
        (noise.double(), mel),
        (noise, mel.double()),
        (noise[:, :-1], mel),
        (noise[:, :-HOP], mel),
        (noise[:1], mel),
    ):
        with pytest.raises(ValueError, match="wanted"):
            exported(bad_noise, {"mel": bad_mel})
    assert b"site-packages" not in zipfile.ZipFile(exported.path).read("student/extra/distill.json")
