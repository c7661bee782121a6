"""`distill STAGE [overrides]`: find the stage, check what was asked, run it under Hydra."""

from __future__ import annotations

import importlib
import io
import logging
import os
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from distill._version import __version__
from distill.cli.together import refuse_many, together, told_elsewhere
from distill.interruption import interruptible
from distill.stages import STAGES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Arguments:
        arguments: Those after `distill`; the process's own by default.

    Example:
        >>> main(["--version"])
        distill 0.1.0
        0
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    show = "--traceback" in words or os.environ.get("DISTILL_TRACEBACK") == "1"
    words = [word for word in words if word != "--traceback"]
    stage = words[0] if words and words[0] in STAGES else None
    _fill_closed()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Paths may hold what the code page of a terminal lacks; stderr is so already.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with interruptible() as request:
            try:
                return _run(stage, words[1:], show) if stage else _without_stage(words)
            except Exception:
                request.check()  # Hydra makes an error of its own of what a signal raised
                raise
    except BrokenPipeError:
        # The reader has gone (`| head`); nothing may complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        return _report(error, stage, show)


def _fill_closed() -> None:
    """Give closed standard streams an end: the next file opened would take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if number and getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _without_stage(words: list[str]) -> int:
    first = words[0] if words else "--help"
    if first in ("--help", "-h", "help"):
        from distill.cli.help import overview

        print(overview())
    elif first == "--version":
        print(f"distill {__version__}")
    elif first == "completion":
        from distill.cli.completion import script

        print(script(words[1] if len(words) > 1 else None))
    else:
        from distill.errors import suggest

        near = suggest(first, [*STAGES, "completion"])
        raise ValueError(
            f"{first!r} is no stage.{near} There are: {', '.join(STAGES)}. "
            "distill --help says what each does."
        )
    return 0


def _run(stage: str, words: list[str], show: bool) -> int:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    _refuse_in_one_line(parser)
    given = parser.parse_intermixed_args(words)
    own = [Path(given.config_dir)] if given.config_dir else []
    if own and not own[0].is_dir():
        raise FileNotFoundError(f"--config-dir: {own[0]} is no folder. Name one that holds yaml.")
    if given.help:
        from distill.cli.help import of_stage

        print(of_stage(stage, own))
        return 0
    flags, typed = list(words), given.overrides
    for text in typed:
        flags.remove(text)
    if given.shell_completion or given.hydra_help:
        return _under_hydra(stage, [*flags, *typed], [], show, _Sweep())
    refuse_many(stage, given.multirun)
    from distill.cli.goals import without_goals
    from distill.cli.overrides import checked
    from distill.cli.positional import with_positional
    from distill.cli.quoting import readable
    from distill.cli.reading import refuse_useless
    from distill.cli.recorded import recorded_overrides, run_folder
    from distill.cli.sweeps import check_outputs, first_job, keys_of_folders, swept_keys

    typed = readable(with_positional(stage, typed), given.multirun)
    typed, goals = without_goals(typed, given.multirun)
    refuse_useless(stage, typed)
    first, swept = typed, []
    if given.multirun:
        first = first_job(typed)
        swept = keys_of_folders(stage, swept_keys(typed), run_folder(stage, first, own))
        check_outputs(stage, typed, swept)
    recorded = recorded_overrides(stage, first, own, swept, tell=not given.multirun)
    overrides = checked(stage, [*recorded, *typed], given.config_dir, given.multirun)
    if given.cfg == "job" and not given.package:  # of a sweep, that of its first job
        from distill.cli.reading import printed

        if given.multirun:
            overrides = checked(stage, [*recorded, *first], given.config_dir)
        print(printed(stage, overrides, given.config_dir, given.resolve), end="")
        return 0
    sweep = _Sweep(swept, given.config_dir, goals)
    return _under_hydra(stage, [*flags, *overrides], typed, show, sweep)


class _Over(BaseException):
    """Ends a search, through a sweeper that goes on after errors."""


class _Sweep(NamedTuple):
    """The keys by which jobs have folders, the user's config folder, what a search is for."""

    swept: Sequence[str] = ()
    folder: str | None = None
    goals: Sequence[str] = ()


def _under_hydra(stage: str, words: list[str], typed: list[str], show: bool, sweep: _Sweep) -> int:
    import hydra

    from distill.cli.config_groups import config_dir
    from distill.cli.goals import UnknownGoalError, reached
    from distill.cli.jobs import of_job, typed_of
    from distill.cli.reading import read_by
    from distill.stages.typed_overrides import with_typed

    codes: list[int] = []
    process, (swept, folder, goals) = os.getpid(), sweep

    def job(config: Any) -> Any:
        try:
            task = _task()
            said = typed if task is None else typed_of(task, typed)
            of = read_by(stage, config) if task is None else of_job(stage, said, swept, folder)
            with with_typed(said), together(of):
                found = importlib.import_module(f"distill.stages.{stage}").run(of)
                return reached(goals, found) if goals else found
        except Exception as error:
            if os.getpid() != process:
                raise  # a launcher took the job elsewhere and carries the error back
            codes.append(_report(error, _which(stage, swept if goals else typed), show))
            if isinstance(error, UnknownGoalError):
                raise _Over from None
            return None

    if goals:
        for name in ("hydra", "hydra_plugins"):  # what they would say of a failure has been said
            logging.getLogger(name).addHandler(logging.NullHandler())
    with _process_as([f"distill {stage}", *words], {"HYDRA_FULL_ERROR": "1"}):
        try:
            hydra.main(str(config_dir()), stage, version_base="1.3")(job)()
        except _Over:
            pass
        except Exception:
            if not (goals and codes):  # a search without a job that worked: it has been said why
                raise
    return max(codes, default=0)


def _task() -> list[str] | None:
    """Return the overrides of one job of a sweep, `None` outside of one."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    settings = HydraConfig.get()
    return list(settings.overrides.task) if settings.mode == RunMode.MULTIRUN else None


def _which(stage: str, by: Sequence[str]) -> str:
    """Name the stage, and in a sweep the run too, by some keys where a task holds others."""
    task = _task()
    if task is None:
        return stage
    from distill.cli.jobs import typed_of

    named = typed_of(task, by)
    return f"{stage} ({', '.join(named or task)})"


def _report(error: BaseException, where: str | None, show: bool) -> int:
    from distill.errors import INTERRUPTED, TERMINATED, describe

    told = told_elsewhere(error)
    if told is not None:
        return told
    described = describe(error)
    if show and described.code not in (INTERRUPTED, TERMINATED):
        traceback.print_exception(error)
    sys.stdout.flush()
    line = f"{described.label}{described.text}"
    print(f"distill{' ' + where if where else ''}: {line}", file=sys.stderr)
    return described.code


def _refuse_in_one_line(parser: ArgumentParser) -> None:
    def refuse(message: str) -> NoReturn:
        raise ValueError(f"{message}. distill STAGE --help lists the options.")

    parser.error = refuse  # type: ignore[method-assign]


@contextmanager
def _process_as(argv: list[str], environment: dict[str, str]) -> Iterator[None]:
    """Set the arguments and variables that Hydra reads, and put the old ones back."""
    old_argv, sys.argv = sys.argv, argv
    old = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        sys.argv = old_argv
        for name, value in old.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
