"""Keep what exporters say to their own developers off a user's screen."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

_LOGGERS = (
    "onnxscript",
    "torch.export",
    "torch.export.pt2_archive._package",
    "torch.onnx",
    "torch.utils.cpp_extension",
)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence progress, warnings and remarks on other packages; errors are raised as ever."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
