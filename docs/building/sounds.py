"""The sounds of docs/listen.md: made while the pages are built, or a run's; none is committed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import soundfile
import torch
from sphinx.errors import ConfigError
from torch import Tensor

KINDS = {
    "reference": ("Reference", "The clip, held out of training."),
    "teacher": ("Teacher", "Its copy, drawn sample after sample."),
    "student": ("Student", "Its copy, drawn in one parallel pass."),
    "student_from_mel": ("Student, from the mel alone", "It estimates the other features itself."),
    "griffin_lim": ("Griffin-Lim", "From the clip's mel, without a model."),
}
"""What `distill evaluate` keeps, in the order of its figures: a title and what it is."""


def untrained() -> tuple[dict[str, Tensor], int]:
    """Return a tone `(T,)`, what its mel gives without any training, by name, and their rate.

    `closed_form` is white noise through the filter that follows from the mel: what a teacher with
    `outer=whitening` draws before its network has learnt anything.
    """
    from distill.contract import Context
    from distill.data.audio import LogMel, Tones
    from distill.evaluation.audio.clips import rate_of
    from distill.evaluation.audio.griffin_lim import griffin_lim
    from distill.models import whitening
    from distill.networks import Envelope

    data = Tones(count=2, seconds=2.0, kinds=["tone"])
    spec, clip = data.spec, next(data.held_out(1))
    rate, x, mel = rate_of(spec), clip.x, clip.features["mel"]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    outer = whitening(spec, order=64)
    drawn, _ = outer(noise, Context(prediction=Envelope(spec, outer.order)(mel)))
    made = griffin_lim(mel[0], x.shape[1], rate, LogMel.of(spec))
    return {"tone": x[0], "griffin_lim": made, "closed_form": drawn[0]}, rate


def write_untrained(sounds: Path, figure: Path) -> None:
    """Write them as wav files into a folder, and their spectrograms as one PNG."""
    from distill.evaluation.audio.pictures import spectrograms_figure

    made, rate = untrained()
    for name, sound in made.items():
        soundfile.write(sounds / f"{name}.wav", sound.numpy(), rate, "PCM_16")
    titles = ("the clip", "Griffin-Lim", "the closed form")
    spectrograms_figure(dict(zip(titles, made.values(), strict=True)), rate).savefig(figure, dpi=80)


def of_run(run: Path, sounds: Path, figures: Path) -> str:
    """Copy what `distill evaluate` kept of a run, and return the part of the page that plays it.

    Errors:
        ConfigError: A run without such sounds.
    """
    parts: list[str] = []
    for folder in sorted(run.glob("evaluate*")):
        drawn = (folder / "figures").glob("spectrograms*.png")
        clips = [path.stem.removeprefix("spectrograms") for path in drawn]
        for clip in sorted(clips, key=lambda suffix: (len(suffix), suffix)):
            found = {kind: folder / "audio" / f"{kind}{clip}.wav" for kind in KINDS}
            found = {kind: path for kind, path in found.items() if path.is_file()}
            name = f"{folder.name}{clip}"
            players = [
                _player(kind, path, sounds / f"{name}_{kind}.wav") for kind, path in found.items()
            ]
            shutil.copyfile(folder / "figures" / f"spectrograms{clip}.png", figures / f"{name}.png")
            of = f"`{run.name}/{folder.name}`, clip {clip.removeprefix('_') or '0'}"
            picture = f"![Spectrograms of these sounds](generated/listen/{name}.png)"
            grid = "\n".join(['<div class="sounds">', *players, "</div>"])
            parts.append(f"### {of}\n\n{grid}\n\n{picture}\n")
    if not parts:
        raise ConfigError(
            f"{run}: wanted a run of sound with evaluate/audio and evaluate/figures, found none. "
            f"Run `distill evaluate run={run}` first, or build without a run."
        )
    return "\n".join(parts)


def _player(kind: str, source: Path, copy: Path) -> str:
    shutil.copyfile(source, copy)
    title, meaning = KINDS[kind]
    audio = f'<audio controls preload="metadata" src="_static/sounds/{copy.name}"></audio>'
    return f"<figure><figcaption><b>{title}.</b> {meaning}</figcaption>{audio}</figure>"


def write(folder: Path, run: str = "") -> Path:
    """Write sounds, figures and `run.txt` below a folder, anew; return what goes to `_static`."""
    static, listen = folder / "static", folder / "listen"
    sounds = static / "sounds"
    for made in (static, listen):
        shutil.rmtree(made, ignore_errors=True)
    sounds.mkdir(parents=True)
    listen.mkdir()
    write_untrained(sounds, listen / "untrained.png")
    text = of_run(Path(run), sounds, listen) if run else "This site was built without a run.\n"
    (listen / "run.txt").write_text(text)
    return static


def _make(app: Any, config: Any) -> None:
    # Sphinx leaves what it copied earlier: recordings of another run would stay in the site.
    shutil.rmtree(Path(app.outdir) / "_static" / "sounds", ignore_errors=True)
    config.html_static_path.append(str(write(Path(app.srcdir) / "generated", config.run)))


def setup(app: Any) -> dict[str, bool]:
    """Offer the option `run`, the folder of a run to hear."""
    app.add_config_value("run", "", "", str)
    app.connect("config-inited", _make)  # before Sphinx looks whether static folders exist
    return {"parallel_read_safe": True, "parallel_write_safe": True}
