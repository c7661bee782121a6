"""Overrides that were typed on the command line, apart from those that a run recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

_typed: ContextVar[tuple[str, ...] | None] = ContextVar("typed", default=None)


@contextmanager
def with_typed(texts: Sequence[str]) -> Iterator[None]:
    """Let stages know which overrides were typed, and not replayed from the run's record."""
    token = _typed.set(tuple(texts))
    try:
        yield
    finally:
        _typed.reset(token)


def typed_overrides() -> list[Override]:
    """Return the overrides that were typed, parsed."""
    texts = _typed.get()
    if texts is None:
        texts = tuple(HydraConfig.get().overrides.task) if HydraConfig.initialized() else ()
    return OverridesParser.create().parse_overrides(list(texts))


def is_typed(key: str) -> bool:
    """Return whether a key was typed."""
    return any(override.key_or_group == key for override in typed_overrides())


def config_path_of(override: Override) -> str:
    """Return the dotted place in the config that an override changes.

    Example:
        >>> parse = OverridesParser.create().parse_override
        >>> texts = ("features@data.mel=mel_8k", "++data.path=a")
        >>> tuple(config_path_of(parse(text)) for text in texts)
        ('data.mel', 'data.path')
    """
    return override.package or override.key_or_group
