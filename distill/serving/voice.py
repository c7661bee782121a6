"""What a voice of a server is made of; reading this needs no server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distill.export import Exported
from distill.serving.examples import Example

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class Voice:
    """What a voice speaks with.

    Arguments:
        exported: The sampler.
        examples: Clips for the page.
    """

    exported: Exported
    examples: tuple[Example, ...] = ()


def check_names(names: Mapping[str, Any]) -> None:
    """Raise unless there are names, and each fits into an address as it is.

    Errors:
        ValueError: There is none, or one with other than letters, digits, `_`, `.` and `-`.
    """
    if not names:
        raise ValueError("voices: wanted one or more, as in voices={anna: a.onnx}, got none.")
    for name in names:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"voices: wanted names of letters, digits, _, . and -, got {name!r}. Call it "
                "something else."
            )
