"""Derivatives of WaveNets and their students by torch.func, whitened and over blocks too."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, vmap

from distill.models import Density, wavenet, wavenet_iaf
from tests.whitened import SIGNAL, SOUND, WHITE

MODELS = {
    "wavenet": lambda: wavenet(SIGNAL, layers=2, channels=4),
    "wavenet (whitened, blocks)": lambda: wavenet(SOUND, layers=2, channels=4, block=2, **WHITE),
    "wavenet_iaf": lambda: wavenet_iaf(SIGNAL, flows=[2], channels=4),
    "wavenet_iaf (whitened, blocks)": lambda: wavenet_iaf(
        SOUND, flows=[2], channels=4, block=2, **WHITE
    ),
}


@pytest.fixture(params=list(MODELS))
def model(request: pytest.FixtureRequest) -> Density:
    torch.manual_seed(0)
    made = MODELS[request.param]().double().eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.normal_(0, 0.3)
    return made


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap_jacrev_and_hessian_give_what_autograd_gives(model: Density) -> None:
    points = 0.02 * torch.randn(2, 8, dtype=torch.float64)
    mel = {"mel": torch.randn(1, 2, 3, dtype=torch.float64)} if model.spec.features else None

    def log_prob(x: torch.Tensor) -> torch.Tensor:
        return model.log_prob(x[None], mel).sum()

    wanted = torch.stack([torch.autograd.functional.jacobian(log_prob, x) for x in points])
    assert wanted.abs().max() > 1e-3
    for transform in (grad, jacrev, jacfwd):
        torch.testing.assert_close(vmap(transform(log_prob))(points), wanted)
    bends = torch.stack([torch.autograd.functional.hessian(log_prob, x) for x in points])
    torch.testing.assert_close(vmap(hessian(log_prob))(points), bends)
    torch.testing.assert_close(bends, bends.mT)
