"""The stage that looks at the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distill.cli import main
from distill.stages import doctor, machine


def test_it_says_what_is_there_and_checks_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "device=cpu"]) == 0
    out = capsys.readouterr().out
    for word in ("torch", "threads", "AVX-512", "bfloat16 units", "serve", "GB free", "export"):
        assert word in out
    assert out.count("good, ") == 3
    assert torch.__version__.partition("+")[0] in out
    assert not list(tmp_path.iterdir())


def test_a_part_that_is_missing_comes_with_its_remedy(monkeypatch):
    monkeypatch.setitem(machine.PARTS, "serve", (("no_such_module",), "distill serve"))
    assert machine.parts()["serve"].endswith("pip install 'distill[serve]'")


def test_a_check_that_fails_is_named(capsys, monkeypatch):
    def broken(_: object) -> None:
        raise ZeroDivisionError("no luck")

    monkeypatch.setattr(doctor, "_training", broken)
    assert main(["doctor", "device=cpu"]) == 2
    assert "training: the check fails on this machine (ZeroDiv" in capsys.readouterr().err


def test_a_wrong_density_is_seen(monkeypatch):
    from distill.models import Flow

    right = Flow.draw

    def wrong(self, *given, **more):
        draw = right(self, *given, **more)
        return type(draw)(**{**vars(draw), "log_prob": draw.log_prob + 1e-3})

    monkeypatch.setattr(Flow, "draw", wrong)
    with pytest.raises(ValueError, match="off by 3"):
        doctor._density(torch.device("cpu"))


def test_free_space_of_a_folder_that_is_not_there_is_that_of_its_disk(tmp_path: Path):
    free = machine.free_gigabytes(tmp_path / "a" / "b")
    assert free == pytest.approx(machine.free_gigabytes(tmp_path), rel=0.2)
