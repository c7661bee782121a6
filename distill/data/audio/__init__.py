"""Audio: folders, corpora and synthetic sounds, with mel, pitch, speaker and label beside them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.data.audio.batches import AudioData
    from distill.data.audio.corpus import AudioCorpus
    from distill.data.audio.frame_files import read_frames
    from distill.data.audio.inputs import Input, read_inputs
    from distill.data.audio.layouts import AnyFolder, Digits, Layout
    from distill.data.audio.libritts import LibriTTS
    from distill.data.audio.ljspeech import LJSpeech
    from distill.data.audio.mel import LogMel
    from distill.data.audio.pitch import Pitch
    from distill.data.audio.scan import Scan
    from distill.data.audio.tones import Tones
    from distill.data.audio.vctk import VCTK

__all__ = [
    "AnyFolder",
    "AudioCorpus",
    "AudioData",
    "Digits",
    "Input",
    "LJSpeech",
    "LibriTTS",
    "VCTK",
    "Layout",
    "LogMel",
    "Pitch",
    "Scan",
    "Tones",
    "read_frames",
    "read_inputs",
]

_HOMES = {
    "distill.data.audio.batches": ("AudioData",),
    "distill.data.audio.corpus": ("AudioCorpus",),
    "distill.data.audio.frame_files": ("read_frames",),
    "distill.data.audio.inputs": ("Input", "read_inputs"),
    "distill.data.audio.layouts": ("AnyFolder", "Digits", "Layout"),
    "distill.data.audio.libritts": ("LibriTTS",),
    "distill.data.audio.ljspeech": ("LJSpeech",),
    "distill.data.audio.mel": ("LogMel",),
    "distill.data.audio.pitch": ("Pitch",),
    "distill.data.audio.scan": ("Scan",),
    "distill.data.audio.tones": ("Tones",),
    "distill.data.audio.vctk": ("VCTK",),
}


def __getattr__(name: str) -> Any:
    # Names load on first use: who loads an export needs the mel's settings, not a corpus's readers.
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
