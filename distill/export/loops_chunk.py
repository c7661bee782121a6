"""One chunk of one sequence through the compiled loops; importing this file imports numba."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from distill.export.loops_arrays import Sampler
from distill.export.metadata import Metadata, StateSpec
from distill.kernels.filter_chunk import color
from distill.kernels.flow_chunk import log_density, run
from distill.kernels.frames_chunk import BEGUN, SUMMED, begin, encode
from distill.kernels.harmonics_chunk import excite

_NONE = np.zeros((0, 0), np.float32)
_NO_LAG = np.zeros(0, np.float32)


class Chunk:
    """What a student computes for a chunk, as some calls of compiled functions.

    Arguments:
        sampler: The student's arrays.
        described: What is known of it, but for its state.

    Attributes:
        metadata: With the state: the first frames, the numbers that add up, all that lies behind
            (frames, then sites and layers of each flow), the last samples.
    """

    def __init__(self, sampler: Sampler, described: Metadata) -> None:
        self.sampler = sampler
        self.logistic = described.base == "logistic"
        self.frames = list(described.frames)
        encoder = sampler.encoder
        columns = 0 if encoder is None else len(encoder.loc)
        held = 0 if encoder is None else encoder.pitch.beside + encoder.reach
        self._behind, place = (held, columns), held * columns
        self._places = []
        for flow in sampler.flows:
            channels, reach = flow.first.shape[1], int(flow.reach.sum())
            middle = place + flow.history
            end = middle + reach * channels
            self._places.append((slice(place, middle), slice(middle, end), (reach, channels)))
            place = end
        specs = [
            StateSpec("state.sums", (SUMMED,), "float64"),
            StateSpec("state.past", (place,), "float32"),
        ]
        if encoder is not None:
            lead = (max(1, described.latency), columns)
            specs.insert(0, StateSpec("state.frames", lead, "float32", "frames"))
        if sampler.filter is not None:
            order = len(sampler.filter.floor) - 1
            specs.append(StateSpec("state.samples", (order,), "float64"))
        # No filter is left to the loader: the loops end in samples.
        self.metadata = replace(described, filter_order=0, state=tuple(specs))

    def __call__(
        self, noise: np.ndarray, features: dict[str, np.ndarray], state: list[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return samples and their log-prob, `(T,)`; the state is replaced in place by the next."""
        net, source, lag, mel = self.sampler, _NONE, _NO_LAG, _NONE
        sums, past = state[net.encoder is not None :][:2]
        rows = self._beside(features)
        if net.encoder is None:
            rows = rows.reshape(1, -1)
        else:
            rows, source, lag, mel = self._context(features, rows, state[0], sums, past)
        x, log_prob = noise, log_density(noise, self.logistic)
        for flow, (sites, layers, shape) in zip(net.flows, self._places, strict=True):
            own = past[layers].reshape(shape)
            x = run(flow, x, rows, source, lag, past[sites], own, log_prob)
        if (net.loc, net.scale) != (0.0, 1.0):
            x = x * np.float32(net.scale) + np.float32(net.loc)
            log_prob -= np.float32(math.log(net.scale))
        if net.filter is not None:
            x, stable = color(net.filter, mel, x, state[-1], log_prob)
            if not stable:
                raise ValueError(
                    "LinearPrediction: wanted a stable filter, got one that is not. Derive it from "
                    "a mel whose numbers are finite."
                )
        return x, log_prob

    def _context(
        self,
        features: dict[str, np.ndarray],
        beside: np.ndarray,
        lead: np.ndarray,
        sums: np.ndarray,
        past: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return rows, source, lag and mel of the chunk's frames."""
        net, encoder = self.sampler, self.sampler.encoder
        assert encoder is not None
        held, columns = self._behind
        behind = past[: held * columns].reshape(held, columns)
        if not sums[BEGUN]:
            begin(encoder, lead, behind, sums)
            sums[BEGUN] = 1
        frames = np.concatenate([features[name] for name in self.frames], 1)
        rows, seen = encode(encoder, frames, beside, behind, sums)
        source, lag = _NONE, _NO_LAG
        if net.harmonics.number:
            source, lag = excite(net.harmonics, encoder, rows, seen)
        first = len(seen) - len(rows) - encoder.look_ahead
        return rows, source, lag, seen[first : first + len(rows), net.mel]

    def _beside(self, features: dict[str, np.ndarray]) -> np.ndarray:
        """Return what labels and vectors add to every row."""
        parts = [_NO_LAG]
        for name, table in self.sampler.beside.items():
            value = features[name]
            parts.append((value - table[0]) / table[1] if value.ndim else table[value])
        return np.concatenate(parts)
