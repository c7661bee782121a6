"""A loaded sampler: one object whatever the backend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from distill.contract import Features, FeatureSpec
from distill.export.metadata import BASES, Metadata

Run = Callable[[Tensor, dict[str, Tensor]], tuple[Tensor, Tensor]]


class Exported:
    """A sampler read from a file; call it with noise and features for `(x, log_prob)`.

    Inputs are checked before the backend sees them, since not every backend would refuse them.

    Arguments:
        metadata: What the file says about itself.
        run: The backend's function of checked inputs.
        path: Where it was read from.

    Errors:
        ValueError: Noise or features of another shape or dtype, NaN, or a missing feature.
    """

    def __init__(self, metadata: Metadata, run: Run, path: str | Path) -> None:
        self.metadata = metadata
        self.dtype: torch.dtype = getattr(torch, metadata.dtype)
        self.path = Path(path)
        self._run = run

    def __repr__(self) -> str:
        return f"Exported({str(self.path)!r}, base={self.metadata.base}, dtype={self.dtype})"

    def __call__(self, noise: Tensor, features: Features = None) -> tuple[Tensor, Tensor]:
        """Return samples and their log-prob, each `(B, T)` like the noise."""
        self._check("noise", noise, self._noise_shape(noise), self.dtype)
        return self._run(noise.contiguous(), self._checked(features, noise))

    def sample(
        self,
        count: int,
        features: Features = None,
        *,
        sites: int | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Draw `(count, T)` with noise from the file's base distribution.

        Arguments:
            count: Number of samples B.
            features: Conditioning of B rows.
            sites: T, where the data does not fix it.
            seed: Makes the samples reproducible, and the same in every backend.
            temperature: Scales the noise.
        """
        return self(self.noise(count, sites=sites, seed=seed) * temperature, features)[0]

    def noise(self, count: int, *, sites: int | None = None, seed: int | None = None) -> Tensor:
        """Draw noise `(count, T)`."""
        sites = self.metadata.spec.sites if sites is None else sites
        if sites is None or count < 1:
            raise ValueError(
                f"{self.path.name}: wanted count >= 1 and, since its values have no fixed length, "
                f"sites=...; got count={count}, sites={sites}."
                if self.metadata.spec.sites is None
                else f"{self.path.name}: wanted count >= 1, got {count}."
            )
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return BASES[self.metadata.base]().sample((count, sites), generator, dtype=self.dtype)

    def _noise_shape(self, noise: Tensor) -> tuple[int | str, ...]:
        spec = self.metadata.spec
        if spec.sites is not None:
            return ("batch", spec.sites)
        if noise.dim() == 2 and (noise.shape[1] == 0 or noise.shape[1] % spec.hop):
            raise ValueError(
                f"{self.path.name}: noise wanted a positive multiple of {spec.hop} sites, got "
                f"{noise.shape[1]}."
            )
        return ("batch", "sites")

    def _checked(self, features: Features, noise: Tensor) -> dict[str, Tensor]:
        wanted = self.metadata.spec.features
        given = dict(features or {})
        if set(given) != set(wanted):
            raise ValueError(
                f"{self.path.name}: wanted the features {', '.join(wanted) or 'none'}; got "
                f"{', '.join(given) or 'none'}."
            )
        return {
            name: self._feature(name, given[name], feature, noise)
            for name, feature in wanted.items()
        }

    def _feature(self, name: str, value: Tensor, feature: FeatureSpec, noise: Tensor) -> Tensor:
        batch, name = noise.shape[0], f"feature {name!r}"
        if feature.kind == "label":
            self._check(name, value, (batch,), torch.int64)
            if value.min() < 0 or value.max() >= feature.size:
                raise ValueError(
                    f"{self.path.name}: {name} wanted labels 0..{feature.size - 1}, got "
                    f"{int(value.min())}..{int(value.max())}."
                )
            return value.contiguous()
        shape: tuple[int | str, ...] = (batch, feature.size)
        if feature.kind == "frames":
            shape = (batch, noise.shape[1] // self.metadata.spec.hop, feature.size)
        self._check(name, value, shape, self.dtype)
        return value.contiguous()

    def _check(
        self, name: str, value: Tensor, shape: tuple[int | str, ...], dtype: torch.dtype
    ) -> None:
        if not isinstance(value, Tensor) or value.dtype != dtype or value.device.type != "cpu":
            got = f"{value.dtype} on {value.device}" if isinstance(value, Tensor) else type(value)
            raise ValueError(f"{self.path.name}: {name} wanted {dtype} on the CPU, got {got}.")
        same = value.dim() == len(shape) and all(
            isinstance(w, str) or w == g for w, g in zip(shape, value.shape, strict=True)
        )
        if not same or 0 in value.shape:
            raise ValueError(
                f"{self.path.name}: {name} wanted shape ({', '.join(map(str, shape))}), none of "
                f"them 0; got {tuple(value.shape)}."
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{self.path.name}: {name} wanted finite numbers, got NaN or inf.")
