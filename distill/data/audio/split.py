"""Which clips are learnt from, and which are kept back for what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from distill.checks import check_seed
from distill.data.audio.clips import Clips
from distill.data.audio.preparation import Clip

_SPLIT = 0
TRAIN, HELD_OUT, VALIDATION, UNHEARD = "train", "held_out", "validation", "unheard"


class Split(NamedTuple):
    """Clips to learn from, and those kept back, by the name of their part."""

    train: Clips
    kept: dict[str, Clips]


def split(
    name: str,
    clips: Sequence[Clip],
    seed: int,
    held_out: float,
    validation: float = 0.0,
    unheard: Sequence[str] = (),
    part_of: Callable[[str], str | None] | None = None,
) -> Split:
    """Split clips by chance into those to learn from and those kept back.

    Arguments:
        name: Of the data set, for messages.
        clips: All of them.
        seed: Of the choice.
        held_out: Share of the clips for the part `held_out`, rounded up.
        validation: Share for the part `validation`, rounded up, which training watches and recipes
            are chosen by, so that `held_out` is not used up; 0 for none.
        unheard: Speakers none of whose clips are learnt from or held out: the part `unheard`.
        part_of: Says of a clip's name which part it is in, `train` or another, in place of chance.

    Errors:
        ValueError: Shares that leave nothing to learn from; an unknown speaker.

    Example:
        >>> clips = [Clip(str(i), 8, lambda: None, speaker="ab"[i % 2]) for i in range(10)]
        >>> parts = split("data", clips, seed=0, held_out=0.2, unheard=["b"])
        >>> len(parts.train), {part: len(kept) for part, kept in parts.kept.items()}
        (4, {'held_out': 1, 'unheard': 5})
    """
    clips = Clips.of(clips)
    speakers = clips.speaker_names
    unknown = sorted(set(unheard) - set(speakers))
    if unknown:
        raise ValueError(
            f"{name}: wanted unheard speakers among {', '.join(speakers) or 'none'}, got "
            f"{', '.join(map(str, unknown))}."
        )
    strange = clips.spoken_by(unheard)
    heard = np.flatnonzero(~strange)
    if part_of is not None:
        train, kept = _listed(name, clips, heard, part_of)
        stranger = {UNHEARD: clips.select(np.flatnonzero(strange))} if unheard else {}
        return Split(train, kept | stranger)
    sizes = [int(np.ceil(share * len(heard))) for share in (held_out, validation)]
    if not (0 < held_out < 1 and 0 <= validation < 1) or sum(sizes) >= len(heard):
        raise ValueError(
            f"{name}: wanted held_out, a share between 0 and 1, and validation, a share or 0, that "
            f"leave clips to train on, got held_out={held_out}, validation={validation} of "
            f"{len(heard)} clips."
        )
    check_seed(seed, "data.seed")
    order = np.random.default_rng([_SPLIT, seed]).permutation(len(heard))
    ends = np.cumsum(sizes)
    parts = {HELD_OUT: order[: ends[0]], VALIDATION: order[ends[0] : ends[1]]}
    kept = {part: clips.select(heard[chosen]) for part, chosen in parts.items() if len(chosen)}
    if unheard:
        kept[UNHEARD] = clips.select(np.flatnonzero(strange))
    return Split(clips.select(heard[np.sort(order[ends[1] :])]), kept)


def _listed(
    owner: str, clips: Clips, heard: np.ndarray, part_of: Callable[[str], str | None]
) -> Split:
    """Split clips by their names."""
    chosen: dict[str, list[int]] = {TRAIN: [], HELD_OUT: [], VALIDATION: []}
    for i in heard.tolist():
        part = part_of(clips.names[i])
        if part is not None:
            chosen[part].append(i)
    if not (chosen[TRAIN] and chosen[HELD_OUT]):
        raise ValueError(
            f"{owner}: wanted clips in the lists of train and held_out, found "
            f"{len(chosen[TRAIN])} and {len(chosen[HELD_OUT])} of {len(clips)}."
        )
    parts = {part: clips.select(numbers) for part, numbers in chosen.items() if numbers}
    return Split(parts.pop(TRAIN), parts)
