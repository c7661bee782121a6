"""What must hold of clips before they become data."""

from __future__ import annotations

from collections.abc import Sequence

from distill.checks import check_number
from distill.data.audio.clips import NONE, Clips

CONDITIONS = ("mel", "f0", "phase", "speaker", "label")
OPTIONAL = ("f0", "phase")


def check_features(name: str, conditions: Sequence[str], optional: Sequence[str]) -> None:
    """Raise unless features are known, named once, and what is optional follows from the others.

    Arguments:
        name: Of the data set, for the message.
        conditions: Features that are given.
        optional: Features that need not be.

    Errors:
        ValueError: What is wrong.
    """
    if set(conditions) - set(CONDITIONS) or len(set(conditions)) < len(conditions):
        raise ValueError(
            f"{name}: wanted conditions among {', '.join(CONDITIONS)}, each once, got "
            f"{', '.join(conditions)}."
        )
    twice = set(optional) & set(conditions) or len(set(optional)) < len(optional)
    if set(optional) - set(OPTIONAL) or twice:
        raise ValueError(
            f"{name}: wanted optional among {', '.join(OPTIONAL)}, each once and none that "
            f"conditions names, got optional={', '.join(optional)} beside conditions="
            f"{', '.join(conditions) or 'none'}. Name a feature in one of them."
        )
    for feature, source in (("f0", "mel"), ("phase", "f0")):
        if feature in optional and source not in (*conditions, *optional):
            raise ValueError(
                f"{name}: wanted {source} beside the optional {feature}, which is estimated from "
                f"it, got conditions={', '.join(conditions) or 'none'}, optional="
                f"{', '.join(optional)}. Add {source} to conditions."
            )


def check_speeds(name: str, speeds: object) -> None:
    """Raise unless each speed of a copy is told from the others and from the recording's.

    Arguments:
        name: Of the data set, for the message.
        speeds: How many times as fast.

    Errors:
        ValueError: What is wrong.
    """
    if isinstance(speeds, str) or not isinstance(speeds, Sequence):
        raise ValueError(f"{name}: wanted speeds as a list, such as [0.9,1.1], got {speeds!r}.")
    for speed in speeds:
        check_number(f"{name}: speeds", speed, low=0.5, high=2.0)
    if 1 in speeds or len(set(speeds)) < len(speeds):
        raise ValueError(
            f"{name}: wanted speeds that differ from each other and from 1, at which the "
            f"recordings are, got {', '.join(f'{speed:g}' for speed in speeds)}."
        )


def check_clips(
    name: str,
    clips: Clips,
    crop: int,
    conditions: Sequence[str],
    hop: int,
    unheard: Sequence[str] = (),
) -> None:
    """Raise unless clips can be cropped, split and conditioned as asked.

    Arguments:
        name: Of the data set, for the message.
        clips: The clips.
        crop: Sites of a training crop.
        conditions: Features asked for.
        hop: Sites per frame.
        unheard: Speakers that are not learnt from.

    Errors:
        ValueError: What is wrong.
    """
    if crop < hop or crop % hop:
        near = max(1, round(crop / hop)) * hop
        raise ValueError(
            f"{name}: wanted crop, a multiple of the mel's hop {hop}, got {crop}. {near} would do."
        )
    if unheard and "speaker" in conditions:
        raise ValueError(
            f"{name}: wanted no speaker among the conditions beside unheard={', '.join(unheard)}: "
            "a model told who speaks can't be told of a stranger. Leave one of them out."
        )
    for what, numbers in (("speaker", clips.speakers), ("label", clips.labels)):
        lacking = (numbers == NONE).nonzero()[0]
        if what in conditions and len(lacking):
            raise ValueError(
                f"{name}: conditions name {what!r}, and {len(lacking)} clips have none, first "
                f"{clips.names[lacking[0]]}. Leave it out, or use a corpus that has it "
                "(data=digits)."
            )
