"""Words of a command line that are no overrides: folders, for stages that take them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from distill.stages.reads import POSITIONAL

_OVERRIDE = re.compile(r"(~|\+{1,2})?[A-Za-z_][\w.@/:-]*=.*", re.DOTALL)


def with_positional(stage: str, words: Sequence[str]) -> list[str]:
    r"""Return overrides, with the words that are none as the list of a key.

    Arguments:
        stage: Its name; of a stage that takes no such words all stay.
        words: As typed. What has a `=` is an override, unless it is a folder's name.

    Errors:
        ValueError: The key is set besides.

    Example:
        >>> with_positional("compare", ["runs/a", "runs/it's", "sort=kl"])
        ['sort=kl', "runs=['runs/a','runs/it\\'s']"]
        >>> with_positional("teacher", ["runs/a"])
        ['runs/a']
    """
    key = POSITIONAL.get(stage)
    if key is None:
        return list(words)
    given = [word for word in words if not _OVERRIDE.fullmatch(word) or Path(word).is_dir()]
    rest = [word for word in words if word not in given]
    if not given:
        return rest
    if any(word.startswith(f"{key}=") for word in rest):
        raise ValueError(f"{key}: set twice, by {given[0]} and by {key}=. Use one of the two ways.")
    return [*rest, f"{key}=[{','.join(map(quoted, given))}]"]


def quoted(text: str) -> str:
    r"""Return a text in the quotes of Hydra's grammar.

    Example:
        >>> print(quoted("it's a,b"))
        'it\'s a,b'
    """
    # Backslashes before a quote, and at the end, would be read as escapes.
    slashes = len(text) - len(text.rstrip("\\"))
    return "'" + re.sub(r"(\\*)'", r"\1\1\\'", text) + "\\" * slashes + "'"
