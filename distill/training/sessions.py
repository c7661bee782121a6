"""A session of the processes that torchrun starts: they meet, train, and end, as one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from threading import Thread

import torch
import torch.distributed as dist

from distill.interruption import Interrupted
from distill.sharing import count_of, local_rank
from distill.training.ranks import (
    Alone,
    Ranks,
    ToldElsewhereError,
    code_of,
    here,
    losing,
    stand,
)

_MEETING = timedelta(minutes=10)
_SLICE = 0.2  # seconds: torch's waiting hears no signal, so ours is cut up
_met: list[tuple[dist.Store, int, int]] = []
_sessions = 0


@contextmanager
def session(cuda: bool | None = None) -> Iterator[Alone]:
    """Meet the other processes that torchrun has started, where there are any, and train with them.

    Inside, `fit` and `distill` are called by each process alike, and only the one that leads speaks
    and writes. Without torchrun nothing changes.

    Arguments:
        cuda: Whether they train on GPUs of CUDA; where there are any by default.

    Errors:
        ConnectionError: The others did not come.
        LostRankError: Another process has ended.
        ToldElsewhereError: An error that another process tells as well.
        ValueError: The variables of torchrun can't be.

    Example:
        >>> with session() as ranks:
        ...     ranks.count
        1
    """
    if count_of() == 1 or isinstance(here(), Ranks):
        yield here()
        return
    global _sessions
    store, rank, count = _meeting()
    cuda = torch.cuda.is_available() if cuda is None else cuda
    if cuda:
        torch.cuda.set_device(device_here("cuda"))
    _sessions += 1  # names of the former one must not be found again
    ranks = Ranks(dist.PrefixStore(str(_sessions), store), rank, count, cuda)
    with ExitStack() as stack:
        if not ranks.leads:
            nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
            stack.enter_context(redirect_stderr(nowhere))
        stand(ranks)
        try:
            with losing(ranks):
                yield ranks
                ranks.close()
        except (Exception, KeyboardInterrupt) as error:
            told = _in_one_voice(error, ranks)
            if told is error:
                raise
            raise told from error
        finally:
            stand(Alone())


def _in_one_voice(error: BaseException, ranks: Ranks) -> BaseException:
    """Return an error as this process is to raise it."""
    if isinstance(error, Interrupted) and not ranks.leads:
        return ToldElsewhereError(error.code)
    if isinstance(error, Interrupted | ToldElsewhereError) or ranks.tells(str(error)):
        return error
    return ToldElsewhereError(code_of(error))


def _meeting() -> tuple[dist.Store, int, int]:
    """Return where the processes meet, which is found once, this one's rank, and their number."""
    failed: list[Exception] = []

    def meet() -> None:
        try:
            _met.append(next(dist.rendezvous("env://", timeout=_MEETING)))
        except Exception as error:
            failed.append(error)

    if not _met:
        thread = Thread(target=meet, name="meeting", daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_SLICE)
    if failed:
        place = ":".join(os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT"))
        raise ConnectionError(
            f"{place} (MASTER_ADDR, MASTER_PORT): wanted all {count_of()} processes of this "
            f"training to meet there, got {str(failed[0]).splitlines()[0]!r}. Start each of them, "
            "by torchrun; unset RANK to train in one process."
        ) from failed[0]
    return _met[0]


def has_met() -> bool:
    """Return whether this process has met the others: each then tells what the others don't."""
    return bool(_met)


def device_here(name: str) -> torch.device:
    """Return this process's device, where several were started.

    Arguments:
        name: `auto`, `cpu` or `cuda`.

    Errors:
        ValueError: A device that they can't share; fewer GPUs than processes.
    """
    kind = name
    if name == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in ("cpu", "cuda"):
        raise ValueError(
            f"device={name}: {count_of()} processes wanted device=cpu, or cuda with a GPU each. "
            "Leave it at auto, or train in one process."
        )
    if kind == "cpu":
        return torch.device("cpu")
    index, there = local_rank(), torch.cuda.device_count()
    if index >= there:
        raise ValueError(
            f"device={name}: wanted a GPU for each process on this machine, got {there} for "
            f"{os.environ.get('LOCAL_WORLD_SIZE', str(index + 1))}. Set --nproc_per_node={there}, "
            "or device=cpu."
        )
    return torch.device("cuda", index)
