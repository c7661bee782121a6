"""Held-out clips: each by itself, without padding, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distill.contract import Batch, DataSpec
from distill.data import Data
from distill.networks.frame_features import with_missing

_SITES_AT_ONCE = 2**18


@dataclass(frozen=True)
class HeldOutClip:
    """One sound and its features, a whole number of frames long.

    Arguments:
        name: What to call it.
        x: `(T,)`.
        features: By name, without the batch's axis: frames `(F, C)`, vectors `(C,)`, labels `()`.
            Those that the spec calls optional may be missing.
        f0: True fundamental frequency of each frame in Hz, 0 where there is none; `None` where the
            data does not know it.
    """

    name: str
    x: Tensor
    features: dict[str, Tensor]
    f0: Tensor | None = None

    def with_label(self, feature: str, label: int) -> HeldOutClip:
        """Return the clip under another label."""
        return replace(self, features={**self.features, feature: torch.tensor(label)})


def held_out_clips(data: Data, count: int, seconds: float) -> list[HeldOutClip]:
    """Return the first `count` held-out clips, each cut after `seconds` and at a whole frame.

    Padded sites (a mask of 0 at the end) are dropped; clips shorter than a frame are left out.

    Errors:
        ValueError: Data that is no sound, or nothing held out.
    """
    spec = data.spec
    rate = rate_of(spec)
    names = list(getattr(data, "held_out_names", None) or [])
    clips: list[HeldOutClip] = []
    row_number = 0
    for batch in data.held_out(min(count, 16)):
        for row in range(len(batch.x)):
            name = names[row_number] if row_number < len(names) else f"clip_{row_number}"
            row_number += 1
            clip = _clip(batch, row, spec, name, int(seconds * rate), _truth(data, name))
            if len(clip.x) >= spec.hop:
                clips.append(clip)
            if len(clips) == count:
                return clips
    if not clips:
        raise ValueError(
            f"{type(data).__name__}: wanted held-out clips of at least one frame, got none. Hold "
            "out more of the data."
        )
    return clips


def rate_of(spec: DataSpec) -> int:
    """Return the sample rate.

    Errors:
        ValueError: Data without one.
    """
    if spec.sample_rate is None:
        raise ValueError(
            "AudioEvaluator: wanted data with a sample rate, got values without one. Choose "
            "evaluation=points for vectors."
        )
    return spec.sample_rate


def collate(clips: Sequence[HeldOutClip], spec: DataSpec) -> Batch:
    """Put clips into one batch, the shorter ones padded with zeros and their last frame.

    Optional features that a clip lacks are NaN.
    """
    sites = max(len(clip.x) for clip in clips)
    x = torch.zeros(len(clips), sites)
    mask = torch.zeros(len(clips), sites)
    for row, clip in enumerate(clips):
        x[row, : len(clip.x)] = clip.x
        mask[row, : len(clip.x)] = 1
    features = {}
    given = [with_missing(clip.features, spec.features) for clip in clips]
    for name, feature in spec.features.items():
        rows = [found[name] for found in given]
        if feature.kind == "frames":
            frames = max(len(value) for value in rows)
            rows = [torch.cat([v, v[-1:].expand(frames - len(v), -1)]) for v in rows]
        features[name] = torch.stack(rows)
    return Batch(x, features or None, mask)


def without_optional(clip: HeldOutClip, spec: DataSpec) -> HeldOutClip:
    """Return the clip without the features that a model can do without: it must find its own.

    Example:
        >>> from distill.contract import FeatureSpec
        >>> mel, f0 = FeatureSpec("frames", 3), FeatureSpec("frames", 2, optional=True)
        >>> features = {"mel": torch.zeros(2, 3), "f0": torch.zeros(2, 2)}
        >>> clip = HeldOutClip("a", torch.zeros(8), features)
        >>> list(without_optional(clip, DataSpec(None, features={"mel": mel, "f0": f0})).features)
        ['mel']
    """
    optional = {name for name, feature in spec.features.items() if feature.optional}
    return replace(clip, features={k: v for k, v in clip.features.items() if k not in optional})


def in_batches(
    clips: Sequence[HeldOutClip], spec: DataSpec, sites: int = _SITES_AT_ONCE
) -> Iterator[tuple[list[HeldOutClip], Batch]]:
    """Yield clips in batches of at most about `sites` sites."""
    part: list[HeldOutClip] = []
    for clip in clips:
        longest = max(len(c.x) for c in [*part, clip])
        if part and longest * (len(part) + 1) > sites:
            yield part, collate(part, spec)
            part = []
        part.append(clip)
    if part:
        yield part, collate(part, spec)


def _clip(
    batch: Batch, row: int, spec: DataSpec, name: str, most: int, truth: Tensor | None
) -> HeldOutClip:
    x = batch.x[row].detach().cpu().float()
    sites = len(x)
    if batch.mask is not None:
        heard = batch.mask[row].nonzero()
        sites = int(heard[-1]) + 1 if len(heard) else 0
    given = {k: v[row].detach().cpu() for k, v in (batch.features or {}).items()}
    frames = min([sites, most, len(x)]) // spec.hop
    for key, feature in spec.features.items():
        if feature.kind == "frames" and (key in given or not feature.optional):
            frames = min(frames, len(given[key]))
    for key, value in given.items():
        # Beside the model's own features a batch may hold labels that only evaluation reads.
        kind = spec.features[key].kind if key in spec.features else None
        if kind == "frames":
            given[key] = value[:frames]
    return HeldOutClip(
        name, x[: frames * spec.hop], given, None if truth is None else truth[:frames]
    )


def _truth(data: Data, name: str) -> Tensor | None:
    known = getattr(data, "truth_f0", None)
    if known is None:
        return None
    value = known(name) if callable(known) else known.get(name)
    return None if value is None else torch.as_tensor(value)
