"""Several voices of one process: chosen by name, with one pool and one set of limits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from omegaconf import OmegaConf

from distill.export import Exported, Loops
from distill.export.graph import SamplingGraph
from distill.serving.examples import find_examples
from distill.serving.limits import Limits
from distill.serving.sinks import pcm
from distill.serving.voice import Voice
from distill.stages.export_file import voices_of
from distill.stages.manifest import COMPLETE, Manifest
from tests.export.students import CASES

from .client import npy, post, wave_of
from .conftest import CLIENT, HOP, RATE, connect, exchange, spec, tiny
from .test_health_and_metrics import counts


@pytest.fixture(scope="module")
def ben() -> Exported:
    """Return a voice of other weights than the student's."""
    model = tiny(spec())
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05)
    graph = SamplingGraph(model)
    return Exported(graph.metadata, torch.no_grad()(graph.forward), "ben.onnx")


@pytest.fixture
def both(exported, ben, tmp_path: Path) -> dict[str, Voice]:
    soundfile.write(tmp_path / "reference_0.wav", np.zeros(100), RATE)
    return {"anna": Voice(exported), "ben": Voice(ben, tuple(find_examples(tmp_path)))}


def test_each_voice_speaks_by_its_name_and_the_first_without(serving, both, mel):
    with serving(voices=both) as address:
        told = {
            name: wave_of(post(address, npy(mel), seed=2, voice=name)) for name in ("anna", "ben")
        }
        for name, voice in both.items():
            wanted = pcm(voice.exported.synthesize(mel, seed=2)[0].numpy())
            assert np.abs(told[name].astype(int) - wanted).max() <= 1
            assert np.array_equal(exchange(address, mel, 7, seed=2, voice=name)[0], told[name])
        assert not np.array_equal(told["anna"], told["ben"])
        assert np.array_equal(wave_of(post(address, npy(mel), seed=2)), told["anna"])
        got = counts(address)
    assert got["distill_samples_total{voice=ben}"] == 2 * 30 * HOP
    assert got["distill_samples_total{voice=anna}"] == 3 * 30 * HOP


def test_about_lists_the_voices_and_has_the_clips_of_each(serving, both):
    with serving(voices=both) as address:
        url = f"http://{address}/about"
        about = {name: CLIENT.get(url, params={"voice": name}).json() for name in both}
        plain = CLIENT.get(url).json()
        clip = about["ben"]["examples"][0]["sounds"]["reference"]
        assert CLIENT.get(f"http://{address}{clip}").status_code == 200
    assert plain == about["anna"]
    for name, said in about.items():
        assert (said["voice"], said["voices"]) == (name, ["anna", "ben"])
        assert said["weights"] == both[name].exported.metadata.weights
    assert about["anna"]["examples"] == []


def test_a_voice_that_is_not_there_gets_404_and_the_names_of_those_that_are(serving, both, mel):
    with serving(voices=both) as address:
        url = f"http://{address}"
        for refused in (
            post(address, npy(mel), voice="benn"),
            post(address, npy(mel), "/features", voice="benn"),
            CLIENT.get(f"{url}/about", params={"voice": "benn"}),
        ):
            assert refused.status_code == 404
            assert "Did you mean ben? There are: anna, ben." in refused.json()["error"]
        for name in ("carl", 1, None, ["ben"]):
            with connect(f"ws://{address}/stream") as socket:
                socket.send(json.dumps({"voice": name}))
                assert "anna, ben" in json.loads(socket.recv())["error"]
        assert len(wave_of(post(address, npy(mel), voice="ben"))) == 30 * HOP


def test_all_voices_share_the_places(serving, both, mel):
    with (
        serving(Limits(clients=1), voices=both) as address,
        connect(f"ws://{address}/stream") as socket,
    ):
        socket.send('{"voice": "anna"}')
        assert json.loads(socket.recv())["voice"] == "anna"
        assert post(address, npy(mel), voice="ben").status_code == 503


def settings_of(**given: object) -> object:
    empty = {"file": None, "voices": None, "examples": None, "run": "runs/none"}
    return OmegaConf.create({**empty, **given})


def test_voices_are_files_and_runs_by_name(student, exported, tmp_path: Path):
    run = tmp_path / "run"
    (run / "export").mkdir(parents=True)
    (run / "export" / "student.onnx").write_bytes(student.read_bytes())
    (run / "evaluate" / "audio").mkdir(parents=True)
    soundfile.write(run / "evaluate" / "audio" / "reference_0.wav", np.zeros(100), RATE)
    record = Manifest.begin("evaluate", {}, {"student": exported.metadata.weights})
    record.end(COMPLETE)
    record.write(run / "evaluate")
    found = voices_of(settings_of(voices={"anna": str(student), "ben": str(run)}))
    assert list(found) == ["anna", "ben"]
    assert [len(voice.examples) for voice in found.values()] == [0, 1]
    assert list(voices_of(settings_of(file=str(student)))) == ["student"]
    assert list(voices_of(settings_of(run=str(run)))) == ["run"]


def test_a_run_speaks_by_compiled_loops_where_it_has_them(student, tmp_path: Path):
    for name in ("student.onnx", "student.loops.pt"):
        (tmp_path / "export").mkdir(exist_ok=True)
        path = tmp_path / "export" / name
        if name.endswith(".onnx"):
            path.write_bytes(student.read_bytes())
        else:
            Loops().write(CASES["speakers"](), path)
        (voice,) = voices_of(settings_of(run=str(tmp_path))).values()
        assert voice.exported.path == path


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"voices": {}}, "one or more"),
        ({"voices": {"a b": "x.onnx"}}, "'a b'"),
        ({"voices": ["x.onnx"]}, "by name"),
        ({"voices": "x.onnx"}, "by name"),
        ({"voices": {"anna": None}}, "voices.anna"),
        ({"voices": {"anna": {"b": "x.onnx"}}}, "voices.anna"),
        ({"voices": {"anna": "x.onnx"}, "file": "y.onnx"}, "leave out file="),
        ({"voices": {"anna": "nowhere.onnx"}}, "nowhere.onnx: there is none"),
        ({"voices": {"anna": "nowhere"}}, "nowhere: there is none.*a run's folder does too"),
    ],
)
def test_voices_that_are_none_are_refused_in_a_line(given, says):
    with pytest.raises((ValueError, FileNotFoundError), match=says) as refusal:
        voices_of(settings_of(**given))
    assert "\n" not in str(refusal.value)
