"""Names, lengths, speakers and labels of many clips, as a few arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import overload

import numpy as np

from distill.data.audio.preparation import Clip, Loaded

NONE = -1


class Clips(Sequence[Clip]):
    """Clips whose names, lengths, speakers and labels are arrays; a `Clip` is made when asked for.

    A million of them take a moment and some tens of megabytes.

    Arguments:
        names: Of the clips.
        sites: Their lengths `(C,)`.
        load: Gives a clip's contents, by its number.
        speakers: Number of each clip's speaker `(C,)`, -1 for none; all -1 by default.
        known: Names of the speakers.
        labels: Number of each clip's label `(C,)`, -1 for none; all -1 by default.

    Example:
        >>> clips = Clips(["a", "b", "c"], np.array([8, 9, 7]), lambda number: None)
        >>> [clip.name for clip in clips.select([2, 0])], clips[1].sites
        (['c', 'a'], 9)
    """

    def __init__(
        self,
        names: Sequence[str],
        sites: np.ndarray,
        load: Callable[[int], Loaded],
        speakers: np.ndarray | None = None,
        known: Sequence[str] = (),
        labels: np.ndarray | None = None,
    ) -> None:
        nobody = np.full(len(names), NONE)
        self.names, self._load, self.known = list(names), load, tuple(known)
        speakers, labels = (nobody if v is None else v for v in (speakers, labels))
        # Side by side: a random clip is one miss of the processor's cache.
        self._table = np.stack([sites, speakers, labels, np.arange(len(names))], 1)

    @classmethod
    def of(cls, clips: Sequence[Clip]) -> Clips:
        """Return clips as this; what is this already, as it is."""
        if isinstance(clips, Clips):
            return clips
        speakers, known = numbered([clip.speaker for clip in clips])
        labels = [NONE if clip.label is None else clip.label for clip in clips]
        return cls(
            [clip.name for clip in clips],
            np.array([clip.sites for clip in clips], int),
            lambda number: clips[number].load(),
            speakers,
            known,
            np.array(labels, int),
        )

    @classmethod
    def joined(cls, parts: Sequence[Clips]) -> Clips:
        """Return the clips of several, one after the other."""
        ends = np.cumsum([len(part) for part in parts])

        def load(number: int) -> Loaded:
            which = int(np.searchsorted(ends, number, "right"))
            return parts[which][number - int(ends[which]) + len(parts[which])].load()

        speakers, known = numbered([name for part in parts for name in part.speaker_list()])
        return cls(
            [name for part in parts for name in part.names],
            np.concatenate([part.sites for part in parts]),
            load,
            speakers,
            known,
            np.concatenate([part.labels for part in parts]),
        )

    def select(self, chosen: Sequence[int] | np.ndarray) -> Clips:
        """Return some of the clips, by their places."""
        other = object.__new__(Clips)
        other.names = [self.names[i] for i in chosen]
        other._load, other.known = self._load, self.known
        other._table = self._table[chosen]
        return other

    @property
    def sites(self) -> np.ndarray:
        """Lengths `(C,)`."""
        return self._table[:, 0]

    @property
    def speakers(self) -> np.ndarray:
        """Number of each clip's speaker `(C,)`, -1 for none."""
        return self._table[:, 1]

    @property
    def labels(self) -> np.ndarray:
        """Number of each clip's label `(C,)`, -1 for none."""
        return self._table[:, 2]

    def drawn(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw the places of so many clips, each as often as it is long."""
        return np.searchsorted(self._ends, rng.integers(self._ends[-1], size=count), "right")

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.sites)

    def spoken_by(self, names: Sequence[str]) -> np.ndarray:
        """Return which clips are of some speakers, `(C,)`."""
        return np.isin(self.speakers, [i for i, name in enumerate(self.known) if name in names])

    @property
    def speaker_names(self) -> list[str]:
        """The speakers of these clips, in order."""
        return sorted(self.known[i] for i in np.unique(self.speakers) if i != NONE)

    def speaker_list(self) -> list[str | None]:
        """Return the speaker of each clip."""
        names = [*self.known, None]
        return [names[number] for number in self.speakers.tolist()]

    def rows(self) -> Iterator[tuple[str, int, str | None, int | None]]:
        """Yield name, length, speaker and label of each clip."""
        labels = [None if label == NONE else label for label in self.labels.tolist()]
        return zip(self.names, self.sites.tolist(), self.speaker_list(), labels, strict=True)

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> Clip: ...

    @overload
    def __getitem__(self, place: slice) -> Clips: ...

    def __getitem__(self, place: int | slice) -> Clip | Clips:
        if isinstance(place, slice):
            return self.select(np.arange(len(self))[place])
        sites, speaker, label, number = self._table[place].tolist()
        return Clip(
            self.names[place],
            sites,
            partial(self._load, number),
            None if speaker == NONE else self.known[speaker],
            None if label == NONE else label,
        )


def numbered(names: Sequence[str | None]) -> tuple[np.ndarray, list[str]]:
    """Number names by their first appearance, -1 for none.

    Example:
        >>> numbers, known = numbered(["b", None, "a", "b"])
        >>> numbers.tolist(), known
        ([0, -1, 1, 0], ['b', 'a'])
    """
    known: dict[str, int] = {}
    numbers = [NONE if name is None else known.setdefault(name, len(known)) for name in names]
    return np.array(numbers, int), list(known)


def bucketed(sites: np.ndarray, size: int) -> np.ndarray:
    """Return an order in which clips of like length stand together.

    Groups of neighbors by length come in an order by chance, always the same: the first few clips
    of it are no shorter than others.

    Arguments:
        sites: Lengths `(C,)`.
        size: Clips in a group; 0 leaves all as they are.

    Example:
        >>> bucketed(np.array([5, 1, 6, 2]), 2).tolist()
        [1, 3, 0, 2]
    """
    if not size:
        return np.arange(len(sites))
    order = np.argsort(sites, kind="stable")
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    return np.concatenate([groups[i] for i in np.random.default_rng(0).permutation(len(groups))])
