"""The columns of prepared arrays that a corpus has on disk, and the work that fills them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from distill.data.audio.columns import Place, Writer, column_folder
from distill.data.audio.files import UnusableError
from distill.data.audio.preparation import Made, Preparation, Source
from distill.data.audio.shards import Entry, mapped

UNREADABLE = "unreadable"
"""How reasons begin that may not hold the next time."""


class Job(NamedTuple):
    """A file to prepare, its key in each column, and where what there is of it lies."""

    source: Source
    keys: dict[str, bytes]
    found: dict[str, Place]


@dataclass(frozen=True)
class CorpusColumns:
    """The columns of a corpus on disk.

    Arguments:
        root: Of the corpus.
        prepare: The settings.
        cache: Folder of all that is prepared.
    """

    root: Path
    prepare: Preparation
    cache: Path

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns that a clip consists of."""
        return ("audio", *self.prepare.features)

    @property
    def touched(self) -> list[Path]:
        """The folders of these columns, and of the steps on the way to them."""
        folders, pitch = self.folders, {"f0", "phase"} & set(self.wanted)
        return [folders[name] for name in {*self.wanted, *(("hertz", "f0") if pitch else ())}]

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each column, of those that are only steps on the way too."""
        return {
            name: column_folder(self.cache, self.root, name, settings)
            for name, settings in self.prepare.settings().items()
        }

    def about(self, name: str) -> dict[str, Any]:
        """Return what a column is."""
        return {"root": str(self.root), "of": name, **self.prepare.settings()[name]}


def work(store: CorpusColumns, jobs: Sequence[Job]) -> tuple[int, dict[str, str]]:
    """Prepare some files into shards; return their number, and what could not be read, and why.

    What is left out for what it holds is kept with the reason; what can't be read now, may be
    later. However it ends, what is done is written.
    """
    writers = {name: Writer(folder, store.about(name)) for name, folder in store.folders.items()}
    unread, threads = {}, torch.get_num_threads()
    torch.set_num_threads(1)  # clips are short, and there is a process for each core
    try:
        for job in jobs:
            try:
                store.prepare(job.source, partial(_recall, job, writers))
            except UnusableError as reason:
                if str(reason).startswith(UNREADABLE):
                    unread[job.source.name] = str(reason)
            if any(writer.is_due for writer in writers.values()):
                _flush(writers)
    finally:
        _flush(writers)
        torch.set_num_threads(threads)
    return len(jobs), unread


def _recall(job: Job, writers: Mapping[str, Writer], name: str, make: Callable[[], Made]) -> Made:
    if name in job.found:
        place = job.found[name]
        return Made(mapped(Path(place.path))[place.start : place.stop])
    try:
        made = make()
    except UnusableError as reason:
        if not str(reason).startswith(UNREADABLE):
            writers[name].add(Entry(job.keys[name], None, notes=[str(reason)]))
        raise
    facts = made.facts
    writers[name].add(
        Entry(
            job.keys[name],
            made.values,
            facts.get("rate", 0),
            facts.get("clipped", 0),
            facts.get("notes", ()),
        )
    )
    return made


def _flush(writers: Mapping[str, Writer]) -> None:
    for writer in writers.values():
        writer.flush()
