"""Which files of a corpus take part: by lists, by length, and by the mels that there are."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from distill.checks import path_of
from distill.data.audio.clips import Clips
from distill.data.audio.listing import SUFFIXES, files_below, first_column, suffix_of
from distill.data.audio.preparation import Source
from distill.data.audio.scan import Scan, Seconds
from distill.data.audio.split import HELD_OUT, TRAIN, VALIDATION

_MELS = (".npy", ".pt")


class Lists:
    """Split lists out of files: one name a line, and what follows a `|` is a text.

    A name may be shorter than the corpus has it, or longer, by leading folders, and have the suffix
    of a file, as in the lists of HiFi-GAN and of LJ Speech, VCTK and LibriTTS recipes.

    Arguments:
        files: Of each part that has a list: `train`, `held_out`, `validation`.

    Errors:
        FileNotFoundError: There is no such file.
        ValueError: Another part, no `held_out`, a list without names, or two with the same.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        wanted = (TRAIN, HELD_OUT, VALIDATION)
        good = isinstance(files, Mapping) and not set(files) - set(wanted) and HELD_OUT in files
        if not good or not all(isinstance(file, str | Path) for file in files.values()):
            raise ValueError(
                "data.lists: wanted a file for held_out, and any for train and validation, as in "
                f"data.lists={{held_out: val.txt}}, got {files}."
            )
        places = {part: path_of(file, f"data.lists.{part}") for part, file in files.items()}
        self.names = {part: _read(place) for part, place in places.items()}
        self._check_apart()
        self._parts: dict[str, str] = {}
        for part, names in self.names.items():
            for name in names:
                for ending in _endings(name):
                    self._parts.setdefault(ending, part)
        self._whole = {name: part for part, names in self.names.items() for name in names}

    def _check_apart(self) -> None:
        """Raise if two lists name one clip: it would be learnt from, or measured, in secret."""
        seen: dict[str, str] = {}
        for part, names in self.names.items():
            for name in names:
                if seen.setdefault(name, part) != part:
                    raise ValueError(
                        f"data.lists: wanted each clip in one list, got {name} in those of "
                        f"{seen[name]} and {part}. Take it out of one."
                    )

    def part_of(self, name: str) -> str | None:
        """Return the part of a clip; what no list names is learnt from where `train` has none."""
        for ending in _endings(name):
            if ending in self._whole:
                return self._whole[ending]
        return self._parts.get(name) or (None if TRAIN in self.names else TRAIN)

    def select(self, sources: Sequence[Source]) -> tuple[list[Source], dict[str, str]]:
        """Return the files that a list names, and the reason for the others.

        Names that no file has are told on stderr.
        """
        kept = [source for source in sources if self.part_of(source.name) is not None]
        used = {ending for source in kept for ending in _endings(source.name)}
        out = {source.name for source in sources} - {source.name for source in kept}
        lacking = [
            name for name in self._whole if not any(ending in used for ending in _endings(name))
        ]
        if lacking:
            learnt = "" if TRAIN in self.names else ", and what was meant is learnt from"
            print(
                f"note: data.lists: no clip has the name of {len(lacking)}, first {lacking[0]}"
                f"{learnt}. `distill prepare` shows them all.",
                file=sys.stderr,
                flush=True,
            )
        return kept, dict.fromkeys(sorted(out), "in no list: data.lists names others") | (
            dict.fromkeys(lacking, "missing: data.lists names it")
        )


def with_mels(sources: Sequence[Source], folder: Path) -> tuple[list[Source], dict[str, str]]:
    """Give each file the mel of its name, and return the reason for those without one.

    Arguments:
        sources: Of a corpus.
        folder: Holds `NAME.npy` or `NAME.pt`, by the names of the corpus, or by their last part
            where one clip alone has it.

    Errors:
        FileNotFoundError: No such folder.
        ValueError: It holds two mels of one name.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder. data.mels names one with a .npy or .pt for each clip."
        )
    there: dict[str, str] = {}
    for file in files_below(folder, _MELS):
        other = there.setdefault(file.removesuffix(suffix_of(file)), file)
        if other != file:
            raise ValueError(
                f"{folder}: wanted one mel of each name, got {other} and {file}. Remove one."
            )
    found, lacking = [], {}
    sharing = Counter(_bare(source.name).rpartition("/")[2] for source in sources)
    for source in sources:
        bare = _bare(source.name)
        last = bare.rpartition("/")[2]
        path = there.get(source.name) or there.get(bare)
        if path is None and last in there and sharing[last] > 1:
            lacking[source.name] = f"no mel: {sharing[last]} clips could be that of {there[last]}"
            continue
        path = path or there.get(last)
        if path is None:
            lacking[source.name] = "no mel: data.mels has no file of its name"
        else:
            found.append(source._replace(mel=f"{folder}/{path}"))
    return found, lacking


def without_long(clips: Clips, scan: Scan, longest: float, rate: int) -> Clips:
    """Leave clips out that are longer than so many seconds, with their reason."""
    long = clips.sites > longest * rate
    for name, sites in zip(clips.select(long.nonzero()[0]).names, clips.sites[long], strict=True):
        scan.rejects[name] = f"too long: {sites / rate:.2f} s, wanted {longest:g} s at most"
        scan.notes.pop(name, None)
    kept = clips.select((~long).nonzero()[0])
    scan.seconds = Seconds(kept.names, kept.sites / rate)
    return kept


def _read(path: Path) -> list[str]:
    try:
        listed = first_column(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path}: no such file. data.lists names a list of clips."
        ) from None
    except (IsADirectoryError, UnicodeDecodeError):
        raise ValueError(
            f"{path}: no text in UTF-8. data.lists names a list of clips, one a line."
        ) from None
    names = [_bare(name.removeprefix("./")) for name in listed]
    if not names:
        raise ValueError(f"{path}: no names in there; wanted one a line.")
    return names


def _bare(name: str) -> str:
    suffix = suffix_of(name)
    return name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name


def _endings(name: str) -> Iterator[str]:
    """Yield a name, and what is left of it without its leading folders."""
    yield name
    while "/" in name:
        name = name.partition("/")[2]
        yield name
