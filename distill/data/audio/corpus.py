"""A corpus of audio files."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from distill.checks import check_number, check_seed, path_of
from distill.data.audio.batches import FRAMED, AudioData
from distill.data.audio.checks import check_features, check_speeds
from distill.data.audio.clips import Clips
from distill.data.audio.envelope import check_kind
from distill.data.audio.files import UnusableError
from distill.data.audio.holdings import table
from distill.data.audio.layouts import AnyFolder, Layout
from distill.data.audio.listing import collection_paused
from distill.data.audio.mel import LogMel
from distill.data.audio.parallel_map import ending, process_pool
from distill.data.audio.pitch import Pitch
from distill.data.audio.preparation import Clip, Loaded, Preparation, Source
from distill.data.audio.prepare_corpus import CorpusColumns, prepared
from distill.data.audio.scan import Scan
from distill.data.audio.selection import Lists, with_mels, without_long
from distill.progress import tracked

_SHOWN = 3
_WAY_OUT = "Bring it back, or keep clips by data.cache=FOLDER or a larger data.memory."


class AudioCorpus(AudioData):
    """Audio files as data: `AudioData` over what a folder holds.

    wav, flac, ogg, mp3 and others that libsndfile reads are averaged to mono and resampled. Files
    that can't be used are left out, each with its reason in `scan.rejects`; what was changed, or is
    doubtful, stands in `scan.notes`. Prepared clips are kept in shards on disk, each file once, so
    that an interrupted start goes on and a corpus that grows is prepared for the new files alone.
    Batches are read from there, mapped into memory: their cost does not grow with the corpus.

    Arguments:
        path: The folder; what is hidden in it (`.trash/`) is passed by.
        layout: `AnyFolder`, `LJSpeech`, `LibriTTS`, `VCTK` or `Digits`.
        sample_rate: Hz.
        crop: Sites of a training crop, a multiple of the mel's hop; `None` takes clips whole.
        conditions: The features to give, any of `mel`, `f0`, `phase`, `speaker`, `label`, or none.
        mel: Settings of the mel, and of the frames; `LogMel.usual` by default.
        pitch: Settings of f0.
        level: Root mean square to bring each clip to, dB of full scale; `None` leaves it.
        trim: Cut what is this many dB below the loudest at both ends; `None` for nothing.
        shortest: Seconds; shorter clips are left out.
        silence: Root mean square, dB; clips below are left out.
        seed: Of the split by files.
        held_out: Share of the files to hold out, rounded up.
        held_out_seconds: Longest held-out value.
        memory: Without a cache: hold clips up to this size, GB; others are prepared anew each time.
        cache: Folder of prepared clips; `None` keeps none.
        workers: Processes that prepare clips.
        optional: Of `f0` and `phase`, those that a trained model can do without.
        envelope: For models that whiten, `auto`, `formula` or `fit`: see `AudioData`.
        validation: Share of the files for the part that training watches; 0 for none.
        unheard: Speakers to keep for the part `unheard`, none of whose files are learnt from.
        cluster: Prepare by Ray tasks in place of `workers`: address of a cluster (`auto`, `local`,
            HOST:PORT) whose machines see both folders.
        longest: Seconds; longer clips are left out.
        lists: Files with the names of the clips of `held_out`, `validation` and `train`, in place
            of shares and chance; without one of `train` all others are learnt from.
        mels: Folder of mels that a front end made, `.npy` or `.pt` by the names of the clips, to
            train on its errors; each has as many frames as its clip's own mel.
        bucket: Put held-out clips of like length beside each other, so many of them; 0 for none.
        cache_limit: Size of the cache, GB: beyond, what was not used for longest is removed, but
            nothing that a running process reads; `None` for no limit.
        speeds: Learn from copies of the training clips too that are played so many times as fast,
            their pitch with it (Ko et al., Audio Augmentation for Speech Recognition, 2015). A slow
            copy of a file with no higher rate has nothing in the highest band.

    Errors:
        FileNotFoundError: No such folder, list or subset.
        ValueError: No file can be used, with the reasons; a number out of range; what `AudioData`
            raises.

    Example:
        >>> AudioCorpus("no/such/folder")
        Traceback (most recent call last):
        FileNotFoundError: no/such/folder: no such folder. Name one that holds audio.
    """

    def __init__(
        self,
        path: str,
        layout: Layout | None = None,
        sample_rate: int = 22_050,
        crop: int | None = 7_680,
        conditions: Sequence[str] = ("mel",),
        mel: LogMel | None = None,
        pitch: Pitch | None = None,
        level: float | None = None,
        trim: float | None = None,
        shortest: float = 0.1,
        silence: float = -60.0,
        seed: int = 0,
        held_out: float = 0.1,
        held_out_seconds: float = 4.0,
        memory: float = 4.0,
        cache: str | None = "~/.cache/distill",
        workers: int = 1,
        optional: Sequence[str] = (),
        envelope: str = "auto",
        validation: float = 0.0,
        unheard: Sequence[str] = (),
        cluster: str | None = None,
        longest: float | None = None,
        lists: Mapping[str, str] | None = None,
        mels: str | None = None,
        bucket: int = 0,
        cache_limit: float | None = 100.0,
        speeds: Sequence[float] = (),
    ) -> None:
        # Before all the work.
        self._cache, self._limit = cache, cache_limit
        check_seed(seed, "data.seed")
        check_number("data.sample_rate", sample_rate, low=1, whole=True)
        check_number("data.shortest", shortest, low=0)
        check_number("data.silence", silence)
        check_number("data.held_out_seconds", held_out_seconds, above=0)
        if level is not None:
            check_number("data.level", level, low=-60, high=0)  # 16 bits hold no less
        if trim is not None:
            check_number("data.trim", trim, above=0)
        if crop is not None:
            check_number("data.crop", crop, low=1, whole=True)
        check_number("data.bucket", bucket, low=0, whole=True)
        check_number("data.memory", memory, low=0)
        check_number("data.workers", workers, low=0, whole=True)
        if cache_limit is not None:
            check_number("data.cache_limit", cache_limit, low=0)
        if longest is not None:
            check_number("data.longest", longest, above=0)
        check_features(type(self).__name__, conditions, optional)
        check_kind(type(self).__name__, envelope)
        if mels is not None and (trim is not None or "mel" not in conditions):
            raise ValueError(
                "data.mels: wanted mel among the conditions and no trim, which cuts what the mels "
                f"tell of; got conditions={', '.join(conditions) or 'none'}, trim={trim}."
            )
        check_speeds(type(self).__name__, speeds)
        if mels is not None and speeds:
            raise ValueError(
                "data.speeds: wanted mels that are computed, for copies at other speeds, got "
                f"data.mels={mels}. Leave one of them out."
            )
        layout, mel, pitch = (
            layout or AnyFolder(),
            mel or LogMel.usual(sample_rate),
            pitch or Pitch(),
        )
        mel.filters(sample_rate)
        prepare = Preparation(
            sample_rate=sample_rate,
            level=level,
            trim=trim,
            shortest=shortest,
            silence=silence,
            mel=mel,
            features=tuple(name for name in FRAMED if name in (*conditions, *optional)),
            pitch=pitch,
            given=mels is not None,
        )
        root = path_of(path, "data.path")
        root = root.resolve() if root.exists() else root
        with collection_paused():
            sources, left_out = layout.sources(root)
        listed = None if lists is None else Lists(lists)
        if listed is not None:
            sources, others = listed.select(sources)
            left_out |= others
        if mels is not None:
            sources, others = with_mels(sources, path_of(mels, "data.mels"))
            left_out |= others

        def made(sources: Sequence[Source], prepare: Preparation) -> tuple[Clips, Scan]:
            if cache is None:
                return _in_memory(sources, prepare, memory, workers)
            store = CorpusColumns(root, prepare, path_of(cache, "data.cache"))
            return prepared(store, sources, workers, cluster, cache_limit)

        clips, scan = made(sources, prepare)
        scan.rejects = left_out | scan.rejects
        if longest is not None:
            clips = without_long(clips, scan, longest, sample_rate)
        if not len(clips):
            raise ValueError(_nothing(root, scan))

        def copies(train: Clips) -> Clips:
            parts, names = [], set(train.names)
            for speed in speeds:
                chosen = [s for s in sources if s.name in names]
                named = [s._replace(name=f"{s.name} at {speed:g}") for s in chosen]
                copied, seen = made(named, replace(prepare, speed=float(speed)))
                scan.notes |= {name: f"no copy: {why}" for name, why in seen.rejects.items()}
                scan.copies += len(copied)
                parts.append(copied)
            return Clips.joined(parts)

        super().__init__(
            clips,
            scan,
            sample_rate=sample_rate,
            crop=crop,
            conditions=conditions,
            mel=mel,
            pitch=pitch,
            labels=layout.labels,
            seed=seed,
            held_out=held_out,
            held_out_seconds=held_out_seconds,
            optional=optional,
            envelope=envelope,
            validation=validation,
            unheard=unheard,
            part_of=None if listed is None else listed.part_of,
            bucket=bucket,
            copies=copies if speeds else None,
            given=mels is not None,
        )

    def cache_table(self) -> str:
        """Return what the cache holds, of this corpus and others."""
        if self._cache is None:
            return ""
        return table(Path(self._cache).expanduser(), self._limit)


def _in_memory(
    sources: Sequence[Source], prepare: Preparation, memory: float, workers: int
) -> tuple[Clips, Scan]:
    """Prepare all files, and hold them as long as there is room; the others are prepared anew."""
    scan, clips = Scan(), []
    held, room = 0, memory * 2**30
    made = _each(prepare, sources, workers)
    for source, loaded in tracked(made, "prepare", len(sources), "files"):
        if isinstance(loaded, UnusableError):
            scan.rejects[source.name] = str(loaded)
            continue
        sites = len(loaded.samples)
        scan.add(source.name, sites / prepare.sample_rate, loaded.facts)
        held += sum(t.nbytes for t in (loaded.samples, *loaded.frames.values()))
        load = partial(_same, loaded) if held <= room else partial(_again, prepare, source, sites)
        clips.append(Clip(source.name, sites, load, source.speaker, source.label))
    return Clips.of(clips), scan


def _each(
    prepare: Preparation, sources: Sequence[Source], workers: int
) -> Iterator[tuple[Source, Loaded | UnusableError]]:
    attempt = partial(_attempt, prepare)
    if workers <= 1:
        yield from zip(sources, map(attempt, sources), strict=True)
        return
    # Forked copies of a process with threads may hang.
    context = multiprocessing.get_context("spawn")
    with process_pool(workers, context) as pool:
        made = pool.map(partial(ending, attempt), sources, chunksize=16)
        yield from zip(sources, made, strict=True)


def _attempt(prepare: Preparation, source: Source) -> Loaded | UnusableError:
    try:
        return prepare(source)
    except UnusableError as reason:
        return reason


def _again(prepare: Preparation, source: Source, sites: int) -> Loaded:
    """Prepare a file once more, which must be as it was."""
    try:
        loaded = prepare(source)
    except UnusableError as reason:
        raise ValueError(f"{source.path}: {reason}; it was good before. {_WAY_OUT}") from None
    if len(loaded.samples) != sites:
        raise ValueError(
            f"{source.path}: wanted the {sites} samples that it had, got {len(loaded.samples)}: it "
            f"has changed. {_WAY_OUT}"
        )
    return loaded


def _same(loaded: Loaded) -> Loaded:
    return loaded


def _nothing(root: Path, scan: Scan) -> str:
    if not scan.rejects:
        return f"{root}: no audio in there (wav, flac, ogg, mp3). Name another folder."
    some = list(scan.rejects.items())
    counts = ", ".join(f"{count} {reason}" for reason, count in scan.reasons.most_common())
    listed = "; ".join(f"{name}: {reason}" for name, reason in some[:_SHOWN])
    more = f"; and {len(some) - _SHOWN} more" if len(some) > _SHOWN else ""
    return f"{root}: none of {len(some)} files can be used ({counts}). {listed}{more}."
