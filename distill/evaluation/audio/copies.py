"""Copy synthesis: what a model makes of the features of held-out clips."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from distill.contract import Batch
from distill.evaluation.audio.clips import HeldOutClip, in_batches
from distill.evaluation.placing import evaluating, move, place_of
from distill.models import Density
from distill.progress import tracked
from distill.sharing import each


@torch.no_grad()
def copies(
    model: Density, clips: Sequence[HeldOutClip], seed: int, temperature: float = 1.0
) -> list[Tensor]:
    """Draw a sound of each clip's length from its features.

    A flow draws each batch in one pass; an explicit autoregressive density runs freely, site after
    site, all clips of a batch at once.

    Arguments:
        model: Teacher or student.
        clips: Their features are read, never their sound.
        seed: Of the noise.
        temperature: Scales the noise.

    Returns:
        Sounds `(T,)` on the CPU, as long as each clip.
    """
    device, dtype = place_of(model)

    def draw(given: tuple[int, tuple[list[HeldOutClip], Batch]]) -> list[Tensor]:
        number, (part, batch) = given
        x = model.sample(
            len(part),
            move(batch.features, device, dtype),
            sites=batch.x.shape[1],
            seed=seed + number,
            temperature=temperature,
        )
        x = x.detach().cpu().float()
        return [row[: len(clip.x)] for row, clip in zip(x, part, strict=True)]

    with evaluating(model):
        batches = list(enumerate(in_batches(clips, model.spec)))
        drawn = each(tracked(batches, "draw", unit="batches"), draw)
    return [sound for sounds in drawn for sound in sounds]
