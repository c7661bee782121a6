"""Look at the machine, and check in ten seconds that training, sampling and exports work on it.

Nothing is written into the run folder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from omegaconf import DictConfig

from distill.contract import Batch, DataSpec
from distill.export import ONNX, PT2, accept
from distill.models import iaf, maf
from distill.objectives import Likelihood
from distill.stages.folders import device_of, root_of
from distill.stages.machine import devices, free_gigabytes, parts, processor, versions

_LITTLE = 2.0  # gigabytes below which a long run may not fit


def run(config: DictConfig) -> dict[str, float]:
    """Print what is there, then check it; the numbers are seconds of each check.

    Errors:
        ValueError: A check fails, with its name and the reason.
    """
    device = device_of(config)
    folder = root_of(config)
    free = free_gigabytes(folder)
    _show("versions", versions())
    _show("processor", processor())
    gpus = ", ".join(devices()) or "no GPU that torch can use"
    _show("devices", {"chosen": str(device), "GPU": gpus})
    _show("optional parts", parts())
    disk = f"{free:.1f} GB free" + ("" if free > _LITTLE else ": little; runs may not fit")
    _show("disk", {str(folder): disk})
    checks: dict[str, Callable[[torch.device], None]] = {
        "density": _density,
        "training": _training,
        "export": _export,
    }
    numbers = {"free_gigabytes": free}
    print("self-check")
    for name, check in checks.items():
        began = time.monotonic()
        try:
            check(device)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ValueError(
                f"{name}: the check fails on this machine ({reason}). Install the versions that "
                "pyproject.toml names into a fresh environment, and try device=cpu."
            ) from error
        numbers[f"{name}_seconds"] = time.monotonic() - began
        print(f"  {name:<16}good, {numbers[f'{name}_seconds']:.1f} s", flush=True)
    return numbers


def _show(title: str, facts: Mapping[str, str]) -> None:
    print(title)
    for name, fact in facts.items():
        print(f"  {name:<16}{fact}")


def _density(device: torch.device) -> None:
    """Compare a flow's log-density with the one that autograd gives, in float64."""
    torch.manual_seed(0)
    device = torch.device("cpu") if device.type == "mps" else device  # which has no float64
    flow = iaf(DataSpec(sites=3), layers=2, hidden=[8], activation="tanh").double().to(device)
    with torch.no_grad():
        for value in flow.parameters():
            value.add_(0.1)
        for layer in flow.modules():
            if hasattr(layer, "mask_"):
                layer.mask_()  # type: ignore[operator]
    noise = flow.noise(1).double()
    jacobian = torch.autograd.functional.jacobian(lambda u: flow.draw(u).x[0], noise)[:, 0]
    wanted = flow.base.log_prob(noise).sum() - torch.linalg.slogdet(jacobian)[1]
    off = (flow.draw(noise).log_prob.sum() - wanted).abs().item()
    if not off < 1e-9:
        raise ValueError(f"the log-density is off by {off:.1e}")


def _training(device: torch.device) -> None:
    """Fit a ring for a moment; the loss has to fall."""
    generator = torch.Generator().manual_seed(0)
    angle = 2 * torch.pi * torch.rand(256, generator=generator)
    ring = Batch(torch.stack([angle.cos(), angle.sin()], 1).to(device))
    torch.manual_seed(0)
    task = Likelihood(maf(DataSpec(sites=2), layers=2, hidden=[16]).to(device))
    optimizer = torch.optim.Adam(task.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = task(ring, 0.0).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if not losses[-1] < losses[0] - 0.1:
        raise ValueError(f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}")


def _export(device: torch.device) -> None:
    """Write the usual formats, load them, and compare them with the model."""
    torch.manual_seed(0)
    student = iaf(DataSpec(sites=2), layers=1, hidden=[8])
    with tempfile.TemporaryDirectory() as folder:
        for backend in (PT2(), ONNX()):
            accept(backend, student, Path(folder))
