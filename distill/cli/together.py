"""The command under torchrun: several processes, one output."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from distill.sharing import count_of, local_rank


def refuse_many(stage: str, sweep: bool) -> None:
    """Raise where several processes are asked for the work of one.

    Errors:
        ValueError: A stage that does not train, or a sweep.
    """
    if count_of() == 1:
        return
    from distill.stages.reads import TRAINING

    if stage not in TRAINING:
        raise ValueError(
            f"{stage} is the work of one process. Run `distill {stage}` without torchrun, which "
            f"trains: {', '.join(TRAINING)}."
        )
    if sweep:
        raise ValueError("-m under torchrun: run torchrun once for each setting of the sweep.")


def together(config: Any) -> AbstractContextManager[object]:
    """Return the session of all processes that were started; nothing where this is the only one."""
    if count_of() == 1:
        return nullcontext()
    from distill.training.sessions import device_here, session

    return session(cuda=device_here(str(config.device)).type == "cuda")


def told_elsewhere(error: BaseException) -> int | None:
    """Return the exit code of an error that another process tells, `None` where this one has to."""
    try:
        if count_of() == 1:
            return None
        follows = local_rank() > 0
    except ValueError:
        return None  # it is about the processes, and each may have been told otherwise
    from distill.errors import describe
    from distill.training.ranks import ToldElsewhereError
    from distill.training.sessions import has_met

    if isinstance(error, ToldElsewhereError):
        return error.code
    # Before they have met all find the same fault, and one on each machine tells it.
    alike = not (has_met() or isinstance(error, ConnectionError))
    return describe(error).code if follows and alike else None
