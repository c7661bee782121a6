"""Which device a stage takes."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf

from distill.stages.folders import device_of


def chosen(device: str) -> torch.device:
    return device_of(OmegaConf.create({"device": device, "threads": None}))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine with so many GPUs for CUDA, and perhaps Apple's."""
    gpus, apple = request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)


@pytest.mark.parametrize("machine", [(2, True)], indirect=True)
@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:1", "mps"])
def test_a_device_that_is_there_is_taken(machine: None, device: str) -> None:
    assert chosen(device) == torch.device(device)
    assert chosen("auto") == torch.device("cuda")


@pytest.mark.parametrize("machine", [(0, False), (0, True)], indirect=True)
def test_auto_is_the_cpu_where_cuda_has_no_gpu(machine: None) -> None:
    assert chosen("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("machine", "device", "says"),
    [
        ((0, False), "cuda", "device=cuda: no GPU that CUDA can use here. Use device=auto or"),
        ((0, False), "cuda:1", "device=cuda:1: no GPU that CUDA can use here"),
        ((0, False), "mps", "device=mps: no Apple GPU here. Use device=auto or device=cpu."),
        ((1, False), "cuda:1", "device=cuda:1: no such GPU here. Use one of cuda:0."),
        ((2, False), "cuda:7", "Use one of cuda:0, cuda:1."),
        ((2, False), "cuda:-1", "wanted auto, cpu, cuda, cuda:N (the N-th GPU, from 0) or mps"),
        ((2, True), "mps:1", "or mps, got 'mps:1'."),
        ((2, True), "meta", "or mps, got 'meta'."),
        ((2, True), "cpu:1", "or mps, got 'cpu:1'."),
    ],
    indirect=["machine"],
)
def test_a_device_that_is_not_there_is_refused(machine: None, device: str, says: str) -> None:
    with pytest.raises(ValueError) as error:
        chosen(device)
    assert says in str(error.value)
