"""Models that come from `meta`, where tensors have no numbers: weights from files, others again."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from distill.contract import DataSpec, FeatureSpec
from distill.distributions import MuLaw
from distill.models import Flow, coupling_flow, iaf, maf, wavenet, wavenet_iaf
from tests.whitened import SOUND, WHITE

LABELS = DataSpec(3, (1.0,), (2.0,), {"digit": FeatureSpec("label", 4)})
MEL = FeatureSpec("frames", 3, (1.0,) * 3, (2.0,) * 3)
SOUNDS = DataSpec(None, features={"mel": MEL}, sample_rate=8000, hop=8)
MODELS = {
    "maf": lambda: maf(LABELS, layers=2, hidden=[8], mixture=2),
    "iaf": lambda: iaf(LABELS, layers=2, hidden=[8]),
    "real_nvp": lambda: coupling_flow(LABELS, layers=2, hidden=[8]),
    "wavenet of levels": lambda: wavenet(SOUNDS, partial(MuLaw, 16), layers=2, channels=4),
    "wavenet_iaf over blocks": lambda: wavenet_iaf(SOUNDS, flows=[2], channels=4, block=2),
    "whitened": lambda: wavenet_iaf(SOUND, flows=[2], channels=4, block=2, **WHITE),
}


def emptied(build):
    return build().to("meta").to_empty(device="cpu")


def emptied_at_once(build):
    return build().to_empty(device="cpu")


def emptied_in_another(build):
    return torch.nn.ModuleList([build()]).to("meta").to_empty(device="cpu")[0]


def born_there(build):
    with torch.device("meta"):
        model = build()
    return model.to_empty(device="cpu")


def born_there_and_assigned(build):
    with torch.device("meta"):
        return build()


WAYS = [emptied, emptied_at_once, emptied_in_another, born_there, born_there_and_assigned]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_comes_from_meta_is_whole_once_its_weights_are_loaded(name, way):
    torch.manual_seed(0)
    wanted = MODELS[name]().eval()
    spec = wanted.spec
    features = {
        feature: torch.tensor([1, 3]) if s.kind == "label" else torch.randn(2, 4, s.size)
        for feature, s in spec.features.items()
    }
    x = 0.1 * torch.randn(2, spec.sites or 4 * spec.hop)
    got = way(MODELS[name])
    got.load_state_dict(wanted.state_dict(), assign=way is born_there_and_assigned)
    got.eval()
    torch.testing.assert_close(got.log_prob(x, features), wanted.log_prob(x, features))
    if isinstance(got, Flow):
        torch.testing.assert_close(got.draw(x, features).x, wanted.draw(x, features).x)


def test_fixed_numbers_follow_a_model_to_another_precision():
    model = coupling_flow(LABELS, layers=2, hidden=[8]).to("meta").half().to_empty(device="cpu")
    encoder = model.encoder
    assert encoder.scale.dtype == torch.float16
    assert encoder.scale.tolist() == [1.0] * 4
