"""Health of a student: numbers that tell a silent or whispering one early."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from distill.bijectors import Affine, Autoregressive, Chain
from distill.contract import Context
from distill.evaluation.audio.clips import HeldOutClip, in_batches
from distill.evaluation.placing import evaluating, move, place_of
from distill.models import Flow
from distill.objectives.tasks import MIN_LOG_SCALE

_NEAR_BOUND = 0.95


@torch.no_grad()
def health(
    student: Flow, clips: Sequence[HeldOutClip], seed: int, min_log_scale: float = MIN_LOG_SCALE
) -> dict[str, float]:
    """Compare a student's draws with the clips whose features they were made from.

    Gives `std`, `mean_abs` and their ratios to the data's (1 is right; a whisper is far below);
    for a student whose sites have a location and a scale, `scale/mean`, `scale/min`, `scale/max`,
    `mean_abs_loc` and `clipped_scales`, the share of sites whose log-scale is below
    `min_log_scale`; for each autoregressive layer `flow_I/mean_abs_loc`, `flow_I/scale` and
    `flow_I/at_bound`, the share of its log-scales within 5 % of their bound.

    Arguments:
        student: The flow.
        clips: A few; they are drawn in one batch.
        seed: Of the noise.
        min_log_scale: The clip of the distillation, in units of the data's scale.
    """
    device, dtype = place_of(student)
    part, batch = next(in_batches(clips, student.spec))
    assert batch.mask is not None
    heard = batch.mask.bool()
    features = move(batch.features, device, dtype)
    with evaluating(student):
        noise = student.noise(len(part), sites=batch.x.shape[1], seed=seed)
        context = student.context(features)
        draw = student.core.draw(noise, context)
        x = student.outward(draw.x, context)
        numbers = _loudness(x.cpu().float()[heard], batch.x[heard])
        if draw.locatable:
            heard = heard.to(device)
            log_scale = draw.log_scale[heard]
            unit = 0.0 if student.outer is not None else math.log(student.spec.scale[0])
            scale = log_scale.exp()
            numbers |= {
                "scale/mean": float(scale.mean()),
                "scale/min": float(scale.min()),
                "scale/max": float(scale.max()),
                "mean_abs_loc": float(draw.loc[heard].abs().mean()),
                "clipped_scales": float((log_scale < min_log_scale + unit).float().mean()),
            }
        return numbers | _of_layers(student.core, noise, context, heard)


def _loudness(x: Tensor, data: Tensor) -> dict[str, float]:
    numbers = {}
    for name, of in (("std", torch.std), ("mean_abs", lambda value: value.abs().mean())):
        mine, theirs = float(of(x)), float(of(data))
        numbers[name] = mine
        numbers[f"{name}/of_data"] = theirs
        numbers[f"{name}/ratio"] = mine / max(theirs, 1e-9)
    return numbers


def _of_layers(
    student: Flow, noise: Tensor, context: Context | None, heard: Tensor
) -> dict[str, float]:
    chain = student.bijector
    layers = chain.layers if isinstance(chain, Chain) else [chain]
    numbers: dict[str, float] = {}
    value, number = noise, 0
    for layer in layers:
        if not (isinstance(layer, Autoregressive) and isinstance(layer.transform, Affine)):
            value = layer(value, context)[0]
            continue
        raw = layer.conditioner(value, context)
        loc, log_scale = layer.transform.loc_and_log_scale(raw)
        value = layer.transform(value, raw)[0]
        at_bound = 0.0
        if layer.transform.bound is not None:
            away = (log_scale - layer.transform.log_scale).abs()[heard]
            at_bound = float((away > _NEAR_BOUND * layer.transform.bound).float().mean())
        prefix = f"flow_{number}"
        numbers[f"{prefix}/mean_abs_loc"] = float(loc[heard].abs().mean())
        numbers[f"{prefix}/scale"] = float(log_scale[heard].exp().mean())
        numbers[f"{prefix}/at_bound"] = at_bound
        number += 1
    return numbers
