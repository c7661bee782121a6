"""What the samplers of a model compute, counted on small runs and told for large ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

from distill.benchmark.counting import Cost, Work, affine, count
from distill.benchmark.inputs import Inputs
from distill.evaluation.placing import place_of
from distill.models import Density

Draw = Callable[[Density, Inputs, int], object]
"""Draws so many values of a model."""


def draw(model: Density, inputs: Inputs, batch: int) -> torch.Tensor:
    """Draw as the model itself does."""
    return model.sample(batch, inputs.rows(batch, model), sites=inputs.sites)


def density_pass(model: Density, inputs: Inputs, batch: int) -> Callable[[], object]:
    """Return one parallel pass of the core, from features to the density of all sites."""
    device, dtype = place_of(model)
    given = inputs.rows(batch, model)
    x = torch.zeros(batch, inputs.sites, device=device, dtype=dtype)
    return lambda: model.core.log_prob(x, given)


def cost_of_draws(model: Density, inputs: Inputs) -> Cost:
    """Return the work of drawing in one parallel pass."""
    return _parallel(model, inputs, lambda part, n: count(lambda: draw(model, part, n)))


def cost_of_pass(model: Density, inputs: Inputs) -> Cost:
    """Return the work of scoring in one parallel pass."""
    return _parallel(model, inputs, lambda part, n: count(density_pass(model, part, n)))


def cost_of_steps(model: Density, inputs: Inputs, steps: Draw) -> Cost:
    """Return the work of drawing site after site.

    Values of a fixed length are counted whole. Of others a short one is, whose steps are alike.

    Arguments:
        model: The model.
        inputs: What is drawn.
        steps: Draws so.
    """
    part = inputs.short(model.spec)
    factor = inputs.sites / part.sites
    return affine(lambda n: count(lambda: steps(model, part, n)) * factor, 1, 2)


def _parallel(model: Density, inputs: Inputs, counted: Callable[[Inputs, int], Work]) -> Cost:
    """Tell the work of any batch, and of any length where the data has none, from small ones."""

    @cache
    def at(batch: int) -> Work:
        if inputs.grain is None:
            return counted(inputs, batch)
        grain, sites = inputs.grain, inputs.sites
        return affine(
            lambda length: counted(inputs.at(model.spec, length), batch), grain, 2 * grain
        )(sites)

    return affine(at, 1, 2)
