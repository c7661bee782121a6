"""Config keys of earlier versions, and the ones that took their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEYS = {
    "warmup": "loss_warmup",
    **{
        f"{role}_trainer.warmup": f"{role}_trainer.warmup_steps"
        for role in ("teacher", "student", "classifier")
    },
}
"""Keys that have another name, and the same meaning."""

REPLACED = {
    **{old: f"is now {new}." for old, new in KEYS.items()},
    "warmup": (
        "is now loss_warmup, sites left out of the loss. Steps over which the learning rate rises "
        "are teacher_trainer.warmup_steps and student_trainer.warmup_steps."
    ),
    "benchmark.compiled": (
        "has become part of benchmark.student, a list of ways to run: "
        "benchmark.student=[eager,exports] leaves torch.compile out."
    ),
}
"""Keys of earlier versions, and what to say now."""


def check_key(key: str) -> None:
    """Raise if a key of an earlier version is given, naming the one that took its place.

    Errors:
        ValueError: It is such a key.

    Example:
        >>> check_key("teacher_trainer.warmup")
        Traceback (most recent call last):
        ValueError: teacher_trainer.warmup: is now teacher_trainer.warmup_steps.
    """
    if key in REPLACED:
        raise ValueError(f"{key}: {REPLACED[key]}")


def check_arguments(given: Mapping[str, Any]) -> None:
    """Raise likewise for an argument of `distill.fit` and `distill.distill`.

    Example:
        >>> check_arguments({"warmup": 3})
        Traceback (most recent call last):
        ValueError: warmup: is now loss_warmup, sites left out of the loss, or warmup_steps, steps
        over which the learning rate rises.
    """
    if "warmup" in given:
        raise ValueError(
            "warmup: is now loss_warmup, sites left out of the loss, or warmup_steps, steps over "
            "which the learning rate rises."
        )


def current_override(text: str) -> str:
    """Return an override that a file recorded, with its key as it is named now.

    Example:
        >>> current_override("++teacher_trainer.warmup=5"), current_override("data=moons")
        ('++teacher_trainer.warmup_steps=5', 'data=moons')
    """
    key, equals, value = text.partition("=")
    bare = key.lstrip("+~")
    return key.removesuffix(bare) + KEYS.get(bare, bare) + equals + value


def current_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config that a file recorded, with its keys as they are named now.

    Example:
        >>> current_config({"warmup": 3, "teacher_trainer": {"warmup": 5}})
        {'teacher_trainer': {'warmup_steps': 5}, 'loss_warmup': 3}
    """
    found = {name: dict(v) if isinstance(v, Mapping) else v for name, v in config.items()}
    for old, new in KEYS.items():
        path, _, name = old.rpartition(".")
        node = found.get(path) if path else found
        if isinstance(node, dict) and name in node:
            node[new.rpartition(".")[2]] = node.pop(name)
    return found
