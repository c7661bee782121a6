"""Whether compiled loops or their plain twins compute; importing this file imports no numba."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec

import torch
from torch import Tensor

from distill.functional import is_autocast, may_look

_plain: ContextVar[bool] = ContextVar("plain", default=False)


@contextmanager
def plain_twins() -> Iterator[None]:
    """Compute by plain operations of torch alone, to compare with.

    Example:
        >>> with plain_twins():
        ...     may_compile(torch.zeros(1))
        False
    """
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def may_compile(*values: Tensor) -> bool:
    """Return whether a compiled loop may read these values: plain numbers of a CPU, now.

    It may not where something looks at single operations: transforms, traces, exports, counters,
    mixed precision.

    Arguments:
        values: Of one floating-point type, which loops know.
    """
    first = values[0]
    return (
        first.dtype in (torch.float32, torch.float64)
        and all(v.dtype == first.dtype for v in values)
        and not _plain.get()
        and may_look(*values)
        and not is_autocast(first.device)
        and find_spec("numba") is not None
    )
