"""Where samples go: what an interruption leaves of a file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from distill.interruption import Interrupted
from distill.serving import check_sink, open_sink


def interrupted_after(path: Path, samples: np.ndarray, error: BaseException) -> None:
    with open_sink(str(path), 8000, True, io.BytesIO()) as write:
        write(samples)
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted(15), ValueError("ours")])
def test_an_interruption_replaces_no_file(tmp_path, error):
    soundfile.write(tmp_path / "a.wav", np.full(50, 0.25), 8000)
    before = (tmp_path / "a.wav").read_bytes()
    with pytest.raises(type(error)):
        interrupted_after(tmp_path / "a.wav", np.ones(20, np.int16), error)
    assert (tmp_path / "a.wav").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Interrupted(15)])
def test_what_was_spoken_before_an_interruption_stays_where_no_file_was(tmp_path, error):
    with pytest.raises(type(error)):
        interrupted_after(tmp_path / "a.wav", np.ones(20, np.int16), error)
    assert soundfile.info(tmp_path / "a.wav").frames == 20
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_a_file_that_is_there_is_replaced_only_if_told(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    with pytest.raises(FileExistsError, match="overwrite=true"):
        check_sink(str(tmp_path / "a.wav"), overwrite=False)
    check_sink(str(tmp_path / "a.wav"), overwrite=True)
