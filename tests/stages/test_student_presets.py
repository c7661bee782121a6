"""Every WaveNet-IAF student of the configs is a density: proven by autograd in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.autograd.functional import jacobian

from distill.contract import DataSpec, FeatureSpec
from distill.instantiate import build
from distill.models import Flow

CONF = Path(__file__).parents[2] / "conf"
SITES, HOP = 24, 8
SIZES = {"mel": 5, "f0": 2, "phase": 2}
OVER_BLOCKS = ("blocks", "fast", "faster", "fastest")  # for whitened teachers
ENVELOPE = {
    "fft": 32,
    "knots": [2.0, 5.0, 8.0, 11.0, 14.0],
    "weight": [0.5] * 5,
    "bias": [-3.0] * 5,
}


def presets() -> dict[str, list[str]]:
    """Return the overrides of every student and every experiment of sound."""
    students = (path.stem for path in (CONF / "student").glob("wavenet*.yaml"))
    marks = ("/evaluation: audio", "- digits", "- tones")
    sounds = (
        path.stem
        for path in (CONF / "experiment").glob("*.yaml")
        if any(mark in path.read_text() for mark in marks)
    )
    cases = {f"student={name}": [f"student={name}", "data=tones"] for name in students}
    cases |= {f"student={name}": ["experiment=tones", f"student={name}"] for name in OVER_BLOCKS}
    cases |= {f"experiment={name}": [f"experiment={name}", "++data.path=x"] for name in sounds}
    return cases


def preset(overrides: list[str]) -> tuple[Flow, dict[str, torch.Tensor]]:
    """Build a preset for small frames, its weights off their quiet start, and its features."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("student", overrides)
    conditions = OmegaConf.to_container(config.data).get("conditions", ["mel"])
    optional = OmegaConf.to_container(config.data).get("optional", [])
    conditions = [*conditions, *(name for name in optional if name not in conditions)]
    framed = [name for name in conditions if name in SIZES]
    if config.student.get("outer"):
        config.student.outer.order = 4  # what the envelope of five bands carries
    spec = DataSpec(
        sites=None,
        scale=(0.1,),
        features={
            name: FeatureSpec("frames", SIZES[name], optional=name in optional)
            if name in SIZES
            else FeatureSpec("label", 3)
            for name in conditions
        },
        sample_rate=8000,
        hop=HOP if framed else 1,
        settings={"envelope": ENVELOPE} if "mel" in framed else {},
    )
    torch.manual_seed(0)
    flow = build(config.student, spec=spec).double()
    with torch.no_grad():
        for name, value in flow.named_parameters():
            if ".last." in name:
                value.normal_(std=0.3)
    features = {
        name: torch.randn(1, SITES // HOP, SIZES[name], dtype=torch.float64)
        if name in SIZES
        else torch.tensor([1])
        for name in conditions
    }
    return flow, features


@pytest.mark.parametrize("case", presets())
def test_the_student_is_strictly_causal_and_its_log_det_exact(case: str) -> None:
    flow, features = preset(presets()[case])
    u = flow.base.sample((1, SITES), torch.Generator().manual_seed(1)).double()
    draw = flow.draw(u, features)
    jac = jacobian(lambda v: flow.draw(v, features).x[0], u)[:, 0]
    assert not jac.triu(1).any()
    assert jac.tril(-1).abs().max() > 1e-6
    torch.testing.assert_close(jac.diagonal().log(), draw.log_det[0], atol=1e-10, rtol=0)
    torch.testing.assert_close(draw.log_prob, flow.base.log_prob(u) - draw.log_det)


@pytest.mark.parametrize("case", presets())
def test_loc_and_log_scale_are_those_of_each_site_given_the_noise_before(case: str) -> None:
    flow, features = preset(presets()[case])
    u = flow.base.sample((1, SITES), torch.Generator().manual_seed(2)).double()
    draw = flow.draw(u, features)
    changed = u.clone()
    changed[:, SITES // 2 :] += 1.5
    other = flow.draw(changed, features)
    site = SITES // 2
    torch.testing.assert_close(other.loc[:, : site + 1], draw.loc[:, : site + 1])
    torch.testing.assert_close(other.log_scale[:, : site + 1], draw.log_scale[:, : site + 1])
    assert not torch.allclose(other.loc[:, site + 1 :], draw.loc[:, site + 1 :])
    torch.testing.assert_close(draw.loc + u * draw.log_scale.exp(), draw.x)


@pytest.mark.parametrize("case", presets())
def test_an_untrained_student_starts_at_zero_with_the_scale_of_the_data(case: str) -> None:
    flow, features = preset(presets()[case])
    with torch.no_grad():
        for name, value in flow.named_parameters():
            if ".last." in name:
                value.zero_()
    draw = flow.core.draw(flow.noise(1, sites=SITES, seed=0), features)
    assert draw.loc.abs().max() < 1e-12
    scale = 0.1 if flow.outer is None else 1.0  # whitened: the outer bijector has the data's
    torch.testing.assert_close(draw.log_scale.exp(), torch.full_like(draw.x, scale))
