"""A loaded sampler: one object whatever the backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.bijectors import State
from distill.contract import Features
from distill.export.inputs import InputChecks, first_state, lead_in
from distill.export.metadata import BASES, Metadata
from distill.export.stream import Rows, Stream
from distill.kernels.synthesis import synthesize
from distill.models.random import generator_for
from distill.networks.levinson import levinson

Run = Callable[[Tensor, dict[str, Tensor], State], tuple[Tensor, Tensor, State]]
"""A backend's function of checked, contiguous inputs: `x, log_prob, new_state`."""


class Filtered:
    """A graph's function and, behind it, the filter whose autocorrelation the graph gives.

    Arguments:
        run: `excitation, log_prob, (*states, autocorrelation)` of checked inputs.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def __call__(
        self, noise: Tensor, features: dict[str, Tensor], state: State
    ) -> tuple[Tensor, Tensor, State]:
        """Return samples, log-prob and the state, whose last tensor holds the last samples."""
        e, log_prob, (*after, r) = self.run(noise, features, state[:-1])
        a, variance = levinson(r)
        gain = variance.sqrt()
        x, past = synthesize(e.numpy(), a.numpy(), gain.numpy(), state[-1].numpy())
        held = gain.log().to(log_prob.dtype).repeat_interleave(e.shape[1] // r.shape[1], 1)
        return torch.from_numpy(x), log_prob - held, (*after, torch.from_numpy(past))


class Exported:
    """A sampler read from a file.

    To hear something, `synthesize` whole features or `stream` them in pieces; both draw their noise
    here, and one seed gives the same samples either way. Below them lies what the file computes:
    call it with noise and features for `(x, log_prob)` of whole values, or go through `start` and
    `run` for chunks. Inputs are checked before the backend sees them, since not every backend would
    refuse them. An object keeps nothing between calls: threads may share it.

    Arguments:
        metadata: What the file says about itself.
        run: The backend's function of checked inputs.
        path: Where it was read from.

    Attributes:
        inputs: The checks.
        compute: The backend's function, unchecked.

    Errors:
        ValueError: Noise or features of another shape or dtype, NaN, or a missing feature.
    """

    def __init__(self, metadata: Metadata, run: Run, path: str | Path) -> None:
        self.metadata = metadata
        self.dtype: torch.dtype = getattr(torch, metadata.dtype)
        self.path = Path(path)
        self.inputs = InputChecks(metadata, self.path.name)
        self.compute = Filtered(run) if metadata.filter_order else run

    def __repr__(self) -> str:
        return (
            f"Exported({str(self.path)!r}, base={self.metadata.base}, dtype={self.dtype}, "
            f"precision={self.metadata.precision})"
        )

    def __reduce__(self) -> Any:
        """Refuse to be pickled: a backend's session belongs to one process."""
        raise TypeError(
            f"{self.path.name}: a loaded sampler can't be pickled or copied. Pass its path, and "
            "load it in each process; threads may share it."
        )

    def synthesize(
        self,
        features: Any = None,
        *,
        temperature: float = 1.0,
        seed: int | None = None,
        frames: int | None = None,
    ) -> Tensor:
        """Draw whole signals `(B, F * hop)`; long ones in chunks, so that memory stays bounded.

        Arguments:
            features: A mapping of tensors or arrays, frames `(B, F, size)` or `(F, size)` for one,
                vectors `(B, size)`, labels `(B,)` or one number; or one array of frames.
                `metadata.optional` names those that may be missing.
            temperature: Scales the noise.
            seed: Makes it reproducible: row b is what `seed + b` gives alone, in a stream too.
            frames: F (T = F * hop), for a model that has no features at frame rate.
        """
        rows = Rows(self, self._named(features, frames), temperature, seed)
        return rows.draw(frames)

    def stream(
        self,
        *,
        temperature: float = 1.0,
        seed: int | None = None,
        features: Features | Any = None,
        warn: bool = True,
    ) -> Stream:
        """Start a stream: push frames, get the samples that are ready.

        Arguments:
            temperature: Scales the noise.
            seed: Makes it reproducible.
            features: Labels and vectors, which hold for the whole stream.
            warn: Whether to warn of a mel that is likely of another scale.

        Errors:
            ValueError: Values of a fixed number of sites, which have no frames.
        """
        return Stream(self, temperature, seed, features, warn)

    def __call__(self, noise: Tensor, features: Features = None) -> tuple[Tensor, Tensor]:
        """Return samples and their log-prob, each `(B, T)` like the noise, in one pass."""
        noise = self.inputs.noise(noise)
        batch, sites = noise.shape
        frames = sites // self.metadata.spec.hop if self.metadata.streams else "frames"
        first, rest = lead_in(self.metadata, self.inputs.features(features, batch, frames))
        x, log_prob, _ = self.compute(noise, rest, first_state(self.metadata, first, batch))
        return x, log_prob

    def start(self, features: Features = None, batch: int | None = None) -> State:
        """Return the state before the first chunk, for `run`.

        Arguments:
            features: At least the frames of look-ahead, and one; labels and vectors.
            batch: B, for a model without features.
        """
        given = self.inputs.features(features)
        if batch is None:
            batch = next((value.shape[0] for value in given.values()), 1)
        needed = max(1, self.metadata.latency)
        for name in self.metadata.frames:
            if given[name].shape[1] < needed:
                raise ValueError(
                    f"{self.path.name}: feature {name!r} wanted the first {needed} frames or more, "
                    f"got {given[name].shape[1]}. At the end of a short value repeat its last."
                )
        return first_state(self.metadata, given, batch)

    def run(
        self, state: State, noise: Tensor, features: Features = None
    ) -> tuple[Tensor, Tensor, State]:
        """Draw the next chunk: `x, log_prob` and the state after it.

        Arguments:
            state: From `start`, or from the chunk before.
            noise: `(B, F * hop)`.
            features: F frames, ahead of the noise by `metadata.latency`; after the last one, that
                one again. Labels and vectors in every chunk.
        """
        noise = self.inputs.noise(noise)
        batch, sites = noise.shape
        frames = sites // self.metadata.spec.hop if self.metadata.streams else "frames"
        given = self.inputs.features(features, batch, frames)
        return self.compute(noise, given, self.inputs.state(state, batch))

    def sample(
        self,
        count: int,
        features: Features = None,
        *,
        sites: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw `(count, T)` in one pass, with the noise that the model itself would draw.

        Arguments:
            count: Number of samples B.
            features: Conditioning of B rows.
            sites: T, where the data does not fix it.
            seed: Makes the samples reproducible, and the same in every backend.
            temperature: Scales the noise.
        """
        return self(self.noise(count, sites=sites, seed=seed) * temperature, features)[0]

    def noise(self, count: int, *, sites: int | None = None, seed: int | None = None) -> Tensor:
        """Draw noise `(count, T)` as the model does."""
        fixed = self.metadata.spec.sites
        if sites is not None and fixed not in (None, sites):
            raise ValueError(
                f"{self.path.name}: wanted the {fixed} sites of its values, got sites={sites}. "
                "Leave it out."
            )
        sites = fixed if sites is None else sites
        if sites is None or count < 1:
            raise ValueError(
                f"{self.path.name}: wanted count >= 1 and, since its values have no fixed length, "
                f"sites=...; got count={count}, sites={sites}."
                if fixed is None
                else f"{self.path.name}: wanted count >= 1, got {count}."
            )
        generator = generator_for("cpu", seed)
        return BASES[self.metadata.base]().sample((count, sites), generator, dtype=self.dtype)

    def _named(self, features: Any, frames: int | None) -> dict[str, Tensor]:
        given = self.inputs.named(features)
        counted = self.metadata.streams and not self.metadata.frames
        if frames is not None and not counted:
            told = "the features at frame rate" if self.metadata.streams else "the model"
            raise ValueError(
                f"{self.path.name}: frames={frames}: {told} say how long values are; leave it out."
            )
        if counted and (frames is None or frames < 1):
            raise ValueError(
                f"{self.path.name}: it has no features at frame rate, so it wanted frames=..., 1 "
                f"or more, {self.metadata.spec.hop} sites each; got {frames}."
            )
        return given
