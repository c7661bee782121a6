"""What all samplers of a comparison are given: as many values, as long, of the same features."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from distill.contract import DataSpec, Features
from distill.evaluation.placing import move, place_of

_GRAIN = 64


@dataclass(frozen=True)
class Inputs:
    """The fixed work of a comparison, but for the batch.

    Arguments:
        features: Rows of features, repeated as often as a batch needs.
        sites: T.
        grain: For values of any length a short one of whole frames, from which long ones are
            computed; `None` where the data fixes T.
    """

    features: Features
    sites: int
    grain: int | None = None

    @classmethod
    def of(cls, spec: DataSpec, features: Features = None, sites: int | None = None) -> Inputs:
        """Return the inputs of a kind of data, at a length that it allows.

        Errors:
            ValueError: Neither the data nor the caller says how long values are.
        """
        sites = sites_of(spec, sites)
        if sites is None:
            raise ValueError(
                "benchmark.sites: wanted the length of a value, since the data fixes none and has "
                "no sample rate. Give it with benchmark.sites=N."
            )
        grain = None if spec.sites is not None else spec.hop * math.ceil(_GRAIN / spec.hop)
        return cls(cut(features, spec, sites), sites, grain)

    def rows(self, count: int, model: nn.Module) -> Features:
        """Return features of so many values, where a model is and in its precision."""
        return move(rows(self.features, count), *place_of(model))

    def at(self, spec: DataSpec, sites: int) -> Inputs:
        """Return the same at another length."""
        return Inputs(cut(self.features, spec, sites), sites, self.grain)

    def short(self, spec: DataSpec) -> Inputs:
        """Return the same for a short value; where the data fixes the length, for its own."""
        return self if self.grain is None else self.at(spec, self.grain)


def rows(features: Features, count: int) -> Features:
    """Return `count` rows of features, the given ones again and again."""
    if not features:
        return None
    return {name: value[torch.arange(count) % value.shape[0]] for name, value in features.items()}


def sites_of(spec: DataSpec, sites: int | None = None) -> int | None:
    """Return the length to sample: the data's own; for signals the one wanted, or a second.

    Rounded up to whole frames.

    Example:
        >>> sites_of(DataSpec(sites=None, sample_rate=8000, hop=64))
        8000
        >>> sites_of(DataSpec(sites=2)), sites_of(DataSpec(sites=None, hop=64), 100)
        (2, 128)
    """
    if spec.sites is not None:
        return spec.sites
    wanted = sites or spec.sample_rate
    return None if wanted is None else math.ceil(wanted / spec.hop) * spec.hop


def cut(features: Features, spec: DataSpec, sites: int | None) -> Features:
    """Return features of just so many sites, frames that are missing taken from the beginning."""
    if not features or sites is None:
        return features
    frames = torch.arange(sites // spec.hop)
    return {
        name: value[:, frames % value.shape[1]] if spec.features[name].kind == "frames" else value
        for name, value in features.items()
    }
