"""Errors in words: one clear line for people, and the exit code that goes with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import InterpolationKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import YAMLError

from distill.files import is_full
from distill.interruption import Interrupted

USER_ERROR = 2
BUG = 1
FAILED = 1
INTERRUPTED = 130
TERMINATED = 143

_OUT_OF_MEMORY = "out of memory. Use a smaller batch, a smaller model, less data, or device=cpu."
_NO_HOME = "Could not determine home directory."
"""What `Path.expanduser` says."""


class CheckError(Exception):
    """A check that was asked for has found what it looks for; its text is one line."""


@dataclass(frozen=True)
class Description:
    """What to tell about an error.

    Arguments:
        text: One line.
        code: Exit code: 2 for what the user can change, 1 for a bug and for a check that fails,
            130 and 143 for an interruption by SIGINT and SIGTERM.
        label: What stands before the line.
    """

    text: str
    code: int = USER_ERROR
    label: str = field(default="error: ", repr=False)


def describe(error: BaseException) -> Description:
    """Put an error into one line, with the way out where there is one.

    `ValueError`, `OSError` and what configs raise are the user's to mend; anything else is a bug.

    Example:
        >>> describe(ValueError("layers: wanted at least 1, got 0."))
        Description(text='layers: wanted at least 1, got 0.', code=2)
        >>> describe(ZeroDivisionError("division by zero")).code
        1
    """
    if isinstance(error, Interrupted):
        return Description(flat(str(error)), error.code, "")
    if isinstance(error, KeyboardInterrupt):
        return Description("interrupted", INTERRUPTED, "")
    if isinstance(error, CheckError):
        return Description(flat(str(error)), FAILED, "")
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, Exception):
        inner = describe(error.__cause__)
        if inner.code == USER_ERROR:
            return inner
    text = _OUT_OF_MEMORY if _is_out_of_memory(error) else _in_words(error)
    if text is not None:
        return Description(flat(text))
    what = flat(f"{type(error).__name__}: {error}")
    return Description(
        f"{what} (this is a bug in distill, not in what you asked for; --traceback shows where)",
        BUG,
        "bug: ",
    )


def one_line(error: Exception, longest: int = 400) -> str:
    r"""Return an error's text on one line, never empty, and not longer than anyone reads.

    Example:
        >>> one_line(ValueError("a\nb")), one_line(KeyError())
        ('a b', 'KeyError')
    """
    text = flat(str(error)) or type(error).__name__
    return text if len(text) <= longest else text[:longest] + " ..."


def flat(text: str) -> str:
    r"""Return a text on one line, with escapes for what can't be shown or would steer a terminal.

    Example:
        >>> flat("a\n b\x1b[2J")
        'a b\\x1b[2J'
    """
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in line
    )


def suggest(word: str, known: Iterable[str]) -> str:
    """Return ` Did you mean ...?`, or nothing where no known word is near.

    Example:
        >>> suggest("teachr", ["teacher", "student"])
        ' Did you mean teacher?'
    """
    close = get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def _in_words(error: BaseException) -> str | None:
    """Return the text of a user's error, `None` for any other."""
    match error:
        case MissingConfigException():
            return _missing_config(error)
        case OverrideParseException():
            return (
                f"can't read the override {error.override!r}: wanted key=value; quote values "
                "with spaces, brackets or commas, as in 'key=[1,2]'."
            )
        case MissingMandatoryValue():
            return f"{error.full_key}: no value. Give one with {error.full_key}=VALUE."
        case InterpolationKeyError():
            key, what = error.full_key, str(error).splitlines()[0]
            return (
                f"{key}: is taken from another key, which is not there ({what}). Choose a part "
                f"that has it, or set {key}= yourself."
            )
        case HydraException() | OmegaConfBaseException():
            return _first_lines(error)
        case YAMLError():
            return f"can't read a config file: {error}"
        case ImportError() if error.name and error.name.split(".")[0] != "distill":
            return f"{error} Install it into this environment, then run again."
        case OSError() if error.errno is not None and is_full(error):
            return f"{error.filename or 'the disk'}: no space left. Free some, then run it again."
        case OSError() if error.filename is not None and error.strerror:
            return f"{error.filename}: {error.strerror.lower()}"
        case RuntimeError() if str(error) == _NO_HOME:
            return "a path begins with ~NAME, and there is no such user here. Write the folder out."
        case ValueError() | OSError():
            return str(error) or type(error).__name__
    return None


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says so, or was raised from one that does."""
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return True
    # What torch says on a CPU, where it has no class for it.
    words = ("can't allocate memory", "not enough memory", "Storage size calculation overflowed")
    if isinstance(error, RuntimeError) and any(word in str(error) for word in words):
        return True
    return error.__cause__ is not None and _is_out_of_memory(error.__cause__)


def _missing_config(error: MissingConfigException) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    if not error.options or not group:
        return _first_lines(error)
    near = suggest(name, error.options)
    if group in ("hydra/launcher", "hydra/sweeper"):
        near += " pip install 'distill[sweep]' brings some."
    return f"{group}={name}: there is no such option.{near} There are: {', '.join(error.options)}."


def _first_lines(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [line for line in lines if line and not line.startswith(("See https", "object_type="))]
    return ". ".join(line.rstrip(".") for line in kept) or type(error).__name__
