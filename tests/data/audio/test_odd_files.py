"""Odd files: read where they can be, left out by name where they can't."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distill.data.audio import AudioCorpus, files
from distill.data.audio.files import UnusableError, read
from distill.data.audio.layouts import AnyFolder
from distill.data.audio.listing import audio_files
from distill.data.audio.scan import Scan

SOUND = 0.1 * np.random.default_rng(0).normal(size=33_075)


def test_a_streamed_flac_of_unknown_length_has_all_its_samples(tmp_path):
    soundfile.write(tmp_path / "a.flac", SOUND, 22_050)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO that count the samples
    content[22:26] = bytes(4)
    (tmp_path / "b.flac").write_bytes(content)
    whole, streamed = (read(tmp_path / name) for name in ("a.flac", "b.flac"))
    assert len(streamed.samples) == 33_075
    assert np.array_equal(whole.samples, streamed.samples)


def test_a_small_file_of_more_samples_than_memory_is_refused_before_it_is_unpacked(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(files, "_most", lambda: 300_000)
    soundfile.write(tmp_path / "a.flac", np.zeros((600_000, 2), np.int16), 22_050)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    with pytest.raises(UnusableError, match="more than 150,000 samples of 2 channels"):
        read(tmp_path / "a.flac")
    content[21] &= 0xF0  # of unknown length
    content[22:26] = bytes(4)
    (tmp_path / "b.flac").write_bytes(content)
    with pytest.raises(UnusableError, match="too long"):
        read(tmp_path / "b.flac")


def made(path: Path, kind: str) -> Path:
    """Write a file that is broken, though libsndfile would read it."""
    if kind == "aiff":
        path = path.with_suffix(".aiff")
        soundfile.write(path, SOUND, 8000, "PCM_16")
        path.write_bytes(path.read_bytes()[:-20_000])
    elif kind == "adpcm":
        soundfile.write(path, SOUND, 8000, "IMA_ADPCM")
    elif kind == "gsm":
        soundfile.write(path, SOUND, 8000, "GSM610")
    elif kind == "eight":
        soundfile.write(path, SOUND, 8000, "PCM_U8")
    elif kind == "NaN":
        soundfile.write(path, np.where(np.arange(len(SOUND)) == 9, np.nan, SOUND), 8000, "DOUBLE")
    elif kind == "scale":
        soundfile.write(path, 32768 * SOUND, 8000, "FLOAT")
    else:
        soundfile.write(path, np.full(8000, 0.5), 8000, "PCM_16")
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("aiff", "truncated: "),
        ("adpcm", "4-bit"),
        ("gsm", "GSM610"),
        ("eight", "8-bit"),
        ("NaN", "NaN or infinity in 1 samples"),
        ("scale", "beyond full scale"),
        ("constant", "constant: every sample is 0.5"),
    ],
)
def test_what_is_broken_is_left_out_with_its_reason(tmp_path, kind, says):
    path = made(tmp_path / "a.wav", kind)
    with pytest.raises(UnusableError, match=says):
        read(path)


@pytest.mark.parametrize(
    ("kind", "coding"),
    [
        ("WAV", "PCM_24"),
        ("WAV", "DOUBLE"),
        ("RF64", "PCM_16"),
        ("W64", "PCM_16"),
        ("WAVEX", "FLOAT"),
    ],
)
def test_codings_of_16_bits_and_more_are_read_whole(tmp_path, kind, coding):
    channels = np.stack([SOUND, -SOUND, 0.5 * SOUND], 1)
    soundfile.write(tmp_path / "a.wav", channels, 7999, coding, format=kind)
    found = read(tmp_path / "a.wav")
    assert (found.rate, found.samples.shape) == (7999, channels.shape)
    np.testing.assert_allclose(found.samples, channels, atol=2**-15)


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def header_of_half(content: bytes) -> bytes:
    """Cut a wav file short, and let its first header say so, but not that of the samples."""
    content = halved(content)
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


CUT = {
    "a wav file that was copied in part": ("WAV", halved),
    "a wav file whose header was mended by halves": ("WAV", header_of_half),
    "a wav file of 64 bits": ("RF64", halved),
    "a wav file of Sony's": ("W64", halved),
    "a NIST file, as in TIMIT": ("NIST", halved),
    "an AU file": ("AU", halved),
    "an Ogg file after another": ("OGG", lambda content: content + content),
}


@pytest.mark.parametrize("kind", CUT)
def test_a_file_of_which_a_part_would_be_read_is_left_out(tmp_path, kind):
    form, cut = CUT[kind]
    path = tmp_path / "a.wav"
    soundfile.write(path, SOUND, 22_050, format=form)
    assert len(read(path).samples) == len(SOUND)
    path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(UnusableError, match=r"^truncated: .* of \d+ bytes$"):
        read(path)


@pytest.mark.parametrize(
    ("whole", "samples"),
    [(0, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000)],
    ids=["of length 0", "FFmpeg", "SoX"],
)
def test_a_wav_file_out_of_a_pipe_is_read_whole(tmp_path, whole, samples):
    soundfile.write(tmp_path / "a.wav", SOUND, 22_050, "PCM_16")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[4:8], content[40:44] = struct.pack("<I", whole), struct.pack("<I", samples)
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read(tmp_path / "a.wav").samples) == len(SOUND)


@pytest.mark.parametrize("rate", [20_000, 21_000])
def test_no_rate_is_ever_raised(tmp_path, rate):
    soundfile.write(tmp_path / "low.wav", SOUND, rate, "PCM_16")
    for i in range(3):
        soundfile.write(tmp_path / f"{i}.wav", SOUND, 22_050, "PCM_16")
    data = AudioCorpus(str(tmp_path), cache=None, conditions=[])
    assert f"low rate: {rate} Hz" in data.scan.rejects["low"]
    assert data.scan.metrics["clips"] == 3


def of_files(folder: Path, sounds: dict[str, np.ndarray], **settings: object) -> AudioCorpus:
    folder.mkdir(exist_ok=True)
    for name, sound in sounds.items():
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / f"{name}.wav", sound, 8000)
    settings = {"sample_rate": 8000, "conditions": [], "cache": None, "crop": 640, **settings}
    return AudioCorpus(str(folder), **settings)


def test_channels_that_cancel_are_left_out_and_a_dead_one_is_not(tmp_path):
    noise = SOUND[::-1]
    twice = {"a": [SOUND, SOUND], "b": [SOUND, 0 * SOUND], "c": [SOUND, noise]}
    opposite = {"d": [SOUND, -0.95 * SOUND]}
    data = of_files(tmp_path, {k: np.stack(v, 1) for k, v in (twice | opposite).items()})
    assert list(data.scan.rejects) == ["d"]
    assert data.scan.rejects["d"].startswith("channels cancel")


def test_an_offset_is_no_sound_and_is_noted_beside_some(tmp_path):
    sounds = {"still": 0.3 + 1e-4 * SOUND, "off": SOUND + 0.3, "a": SOUND, "b": SOUND}
    data = of_files(tmp_path, sounds)
    assert data.scan.rejects["still"].startswith("silent: -")
    assert data.scan.notes == {"off": "its mean is +0.300, and not 0"}


def test_what_is_hidden_is_passed_by(tmp_path):
    data = of_files(tmp_path, dict.fromkeys(["a", "b", ".c", ".trash/a"], SOUND))
    assert sorted(data.train_names + data.held_out_names) == ["a", "b"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda path: path.unlink(), "No such file.*it was good before"),
        (lambda path: soundfile.write(path, SOUND[:9000], 8000), "33075 samples.*got 9000"),
    ],
)
def test_a_file_that_changes_after_its_corpus_was_read_is_named(tmp_path, change, says):
    data = of_files(tmp_path, dict.fromkeys("abc", SOUND), memory=0)
    for path in tmp_path.glob("*.wav"):
        change(path)
    with pytest.raises(ValueError, match=rf"[abc]\.wav: .*{says}"):
        data.train_batch(0, 2, seed=0)


def test_linked_folders_are_followed_and_loops_cut(tmp_path):
    (tmp_path / "there" / "ann").mkdir(parents=True)
    soundfile.write(tmp_path / "there" / "ann" / "a.WAV", SOUND, 8000, format="WAV")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "speaker").symlink_to(tmp_path / "there" / "ann")
    (tmp_path / "there" / "ann" / "loop").symlink_to(tmp_path / "corpus")
    (tmp_path / "corpus" / "itself.wav").symlink_to(tmp_path / "corpus" / "itself.wav")
    (found,) = audio_files(tmp_path / "corpus")
    assert found == (str(tmp_path / "corpus" / "speaker" / "a.WAV"), "speaker/a")
    ((source,), _) = AnyFolder().sources(tmp_path / "corpus")
    assert (source.speaker, source.name) == ("speaker", "speaker/a")


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on posix only")
def test_a_name_that_is_not_utf8_is_read(tmp_path):
    soundfile.write(tmp_path / "a.wav", SOUND, 8000)
    try:
        os.rename(os.fsencode(tmp_path / "a.wav"), os.fsencode(tmp_path) + b"/\xe9.wav")
    except OSError:
        pytest.skip("this file system wants UTF-8")
    ((source,), _) = AnyFolder().sources(tmp_path)
    assert source.name == "\\xe9"
    assert len(read(Path(source.path)).samples) == len(SOUND)


def test_names_keep_to_their_cell_of_the_report():
    scan = Scan(rejects={"a|b\nc": "odd"})
    scan.add("d", 1.0, {"rate": 8000})
    assert "| a\\|b\\nc | odd |" in scan.table()
