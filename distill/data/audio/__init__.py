"""Audio: folders, corpora and synthetic sounds, with mel, pitch, speaker and label beside them."""

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
