"""Which recorded overrides are safe to replay: a file must not speak for the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

from distill.trust import BEYOND

# Data, models, and what they are trained by. Everything else is said anew by who wants it.
_ROOTS = (
    "classifier",
    "classifier_trainer",
    "data",
    "debug",
    "evaluation",
    "experiment",
    "likelihood",
    "min_log_scale",
    "name",
    "objective",
    "student",
    "student_encoder",
    "student_trainer",
    "teacher",
    "teacher_trainer",
    "loss_warmup",
)
_KEY = re.compile(r"[A-Za-z]\w*(\.(\w+))*")
_REFERENCE = re.compile(r"\$\{[A-Za-z]\w*(\.\w+)*\}")


def replayable(texts: Any, options: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Divide recorded overrides into those that may be replayed and the others.

    Replayed are plain values under the data's and the models' keys, and known options of known
    groups. Never: Hydra's own settings, `trusted`, a `_target_`, a reference that computes
    something (`${oc.env:...}`), an option that is a path, a part left out as a whole, a cluster to
    work on, a download.

    Arguments:
        texts: What `overrides.json` holds.
        options: Every known group with its options, see `distill.cli.config_groups.groups`.

    Example:
        >>> replayable(["data=points", "hydra.mode=x", "data._target_=os.system"],
        ...            {"data": ["points"]})
        (['data=points'], ['hydra.mode=x', 'data._target_=os.system'])
    """
    kept: list[str] = []
    left: list[str] = []
    for text in texts if isinstance(texts, list) else []:
        (kept if _is_replayable(text, options) else left).append(str(text))
    return kept, left


def _is_replayable(text: Any, options: Mapping[str, Sequence[str]]) -> bool:
    try:
        override = OverridesParser.create().parse_override(text)
        # A sweep has no one value, and would run a stage more than once.
        value = None if override.is_delete() else override.value()
    except (HydraException, TypeError, ValueError, RecursionError):
        return False
    key = override.key_or_group
    if override.is_sweep_override() or (override.is_delete() and "." not in key):
        return False
    if key in options:
        return _is_known_option(override, value, options[key])
    return override.package is None and _is_ours(key) and _is_plain(value)


def _is_known_option(override: Override, value: Any, known: Sequence[str]) -> bool:
    place = override.package if override.package is not None else override.key_or_group
    names = value if isinstance(value, list) else [value]
    return _is_ours(place.replace("/", ".")) and all(
        name is None or str(name) in known for name in names
    )


def _is_ours(key: str) -> bool:
    parts = key.split(".")
    return (
        _KEY.fullmatch(key) is not None
        and parts[0] in _ROOTS
        and not any(part.startswith("_") or part in BEYOND for part in parts)
    )


def _is_plain(value: Any) -> bool:
    """Whether a value is data: no mapping that names a `_target_`, nothing that is computed."""
    if isinstance(value, dict):
        return all(
            _is_plain(str(key))
            and not (str(key).startswith("_") or str(key) in BEYOND)
            and _is_plain(part)
            for key, part in value.items()
        )
    if isinstance(value, list):
        return all(_is_plain(part) for part in value)
    if isinstance(value, QuotedString):
        value = value.text
    if isinstance(value, str):
        return "${" not in _REFERENCE.sub("", value)
    return value is None or isinstance(value, bool | int | float)
