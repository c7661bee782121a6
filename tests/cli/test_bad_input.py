"""Bad input to every stage: exit code 2, one line that names the thing, nothing overwritten."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from distill.cli import main
from distill.contract import DataSpec
from distill.models import iaf, maf
from distill.training import Checkpoint

HIDDEN = {"layers": 1, "hidden": [4]}
QUICK = ["debug=two_steps", "data=banana", "data.count=60", "evaluation.pictures=false"]
QUICK += ["evaluation.watch_count=10", "teacher.layers=1", "teacher.hidden=[4]"]


def state(folder: Path) -> dict[str, str]:
    """Return a hash of every file below a folder; locks are not results."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock"]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small run, tables, sounds, and what is wrong with each."""
    place = tmp_path_factory.mktemp("bad")
    spec = DataSpec(sites=2)
    data = {"_target_": "distill.data.Banana", "seed": 0, "count": 60}
    evaluation = {"_target_": "distill.evaluation.PointsEvaluator", "pictures": False}
    for role, make in (("teacher", maf), ("student", iaf)):
        folder = place / "run" / role
        folder.mkdir(parents=True)
        node = {"_target_": f"distill.models.{make.__name__}", **HIDDEN}
        trainer = {"_target_": "distill.training.Trainer", "steps": 2}
        config = {role: node, "data": data, "evaluation": evaluation, f"{role}_trainer": trainer}
        config["seed"] = 0
        model = make(spec, layers=1, hidden=[4])
        Checkpoint(role, config, spec, model.state_dict(), {"step": 2}).save(folder)
    rng = np.random.default_rng(0)
    table = rng.normal(size=(50, 2))
    tables = {
        "good.csv": table,
        "huge.csv": np.concatenate([table, [[1e308, 0.0]]]),
        "ints.csv": None,
        "nan.csv": np.concatenate([table, [[np.nan, 0.0]]]),
        "flat.csv": np.c_[table[:, 0], np.ones(50)],
        "short.csv": table[:3],
    }
    for name, values in tables.items():
        if values is not None:
            np.savetxt(place / name, values, delimiter=",")
    (place / "ints.csv").write_text("\n".join(f"{2**60 + i},{i}.5" for i in range(50)))
    (place / "text.csv").write_text("a,b\n1,2\n3,four\n")
    (place / "ragged.csv").write_text("1,2\n3\n")
    (place / "empty.csv").write_text("")
    (place / "latin.csv").write_bytes("é,b\n1,2\n".encode("latin-1"))
    np.save(place / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(place / "complex.npy", np.ones((20, 2), complex))
    (place / "broken.npy").write_bytes(b"\x93NUMPY")
    (place / "silent").mkdir()
    soundfile.write(place / "silent" / "a.wav", np.zeros(8000), 8000)
    (place / "nothing").mkdir()
    (place / "cut").mkdir()
    (place / "cut" / "checkpoint.pt").write_bytes(b"PK")
    (place / "broken" / "student").mkdir(parents=True)
    (place / "broken" / "student" / "checkpoint.pt").write_bytes(b"PK\x03\x04")
    torch.save([1], place / "list.pt")
    (place / "fake.onnx").write_bytes(b"not a graph")
    return place


TEACHER = ["teacher", "run=PLACE/new", *QUICK]
POINTS = ["teacher", "run=PLACE/new", "data=points", *QUICK[:1]]
AUDIO = ["prepare", "run=PLACE/new", "data=audio", "+data.cache=null"]
SAMPLE = ["sample", "run=PLACE/run"]
OF_RUN = "run=PLACE/run"
HIDDEN_RANGE = "hidden: wanted a whole number from 1 to 100000"

CASES = {
    # stage, words: what the line says
    "no such stage": (["techer"], "Did you mean teacher?"),
    "an unknown key": ([*TEACHER, "sed=3"], "sed: unknown key"),
    "an unknown argument": ([*TEACHER, "teacher.layer=3"], "teacher.layers"),
    "an unknown option": ([*TEACHER, "teacher=maff"], "teacher=maff: there is no such option"),
    "an unknown experiment": (["teacher", "experiment=moonz"], "Did you mean moons"),
    "a broken list": ([*TEACHER, "teacher.hidden=[4"], "teacher.hidden=[4"),
    "several values without -m": ([*TEACHER, "seed=1,2"], "seed: several values want -m"),
    "a negative seed": ([*TEACHER, "seed=-1"], "seed: wanted"),
    "a seed beyond all": ([*TEACHER, f"seed={2**70}"], "seed: wanted"),
    "a seed of text": ([*TEACHER, "seed=abc"], "seed: wanted a whole number"),
    "an empty run": (["teacher", "run=", *QUICK], "run: wanted a folder"),
    "trusted as a text": ([*TEACHER, "trusted=foo"], "trusted: wanted a list"),
    "an unknown device": ([*TEACHER, "device=tpu"], "device: wanted auto, cpu, cuda"),
    "no threads": ([*TEACHER, "threads=0"], "threads: wanted 1 or more"),
    "a learning rate of nan": ([*TEACHER, "teacher_trainer.learning_rate=nan"], "learning_rate"),
    "a learning rate of inf": ([*TEACHER, "teacher_trainer.learning_rate=inf"], "learning_rate"),
    "a negative learning rate": ([*TEACHER, "teacher_trainer.learning_rate=-1"], "learning_rate"),
    "a clip of nan": ([*TEACHER, "teacher_trainer.clip=nan"], "trainer.clip"),
    "no clip": ([*TEACHER, "teacher_trainer.clip=0"], "trainer.clip"),
    "a negative warm-up": ([*TEACHER, "teacher_trainer.warmup_steps=-5"], "trainer.warmup_steps"),
    "negative watching": ([*TEACHER, "teacher_trainer.watch_every=-1"], "trainer.watch_every"),
    "no halving": ([*TEACHER, "teacher_trainer.halve_every=0"], "trainer.halve_every"),
    "no steps": ([*TEACHER, "teacher_trainer.steps=0"], "trainer.steps"),
    "a batch of none": ([*TEACHER, "teacher_trainer.batch_size=0"], "trainer.batch_size"),
    "an average of 1": ([*TEACHER, "teacher_trainer.ema=1"], "trainer.ema"),
    "no checkpoints": ([*TEACHER, "teacher_trainer.keep=0"], "trainer.keep"),
    "the best unseen": (
        [*TEACHER, "teacher_trainer.keep_best=true", "teacher_trainer.watch_every=0"],
        "watch_every > 0",
    ),
    "an unknown schedule": ([*TEACHER, "teacher_trainer.schedule=linear"], "trainer.schedule"),
    "a layer of -4": ([*TEACHER, "teacher.hidden=[-4]"], f"{HIDDEN_RANGE}, got -4"),
    "a layer of none": ([*TEACHER, "teacher.hidden=[0]"], f"{HIDDEN_RANGE}, got 0"),
    "a coupling layer of none": (
        [*TEACHER, "teacher=real_nvp", "teacher.hidden=[0]"],
        f"{HIDDEN_RANGE}, got 0",
    ),
    "layers beyond memory": (
        [*TEACHER, "teacher.hidden=[1000000000000]"],
        f"{HIDDEN_RANGE}, got 1000000000000",
    ),
    "a student of blocks for a teacher without whitening": (
        ["student", "run=PLACE/new", "data=tones", "teacher=wavenet", "student=fast"],
        "student.outer: is taken from another key, which is not there",
    ),
    "a WaveNet without end": (
        ["teacher", "run=PLACE/new", "data=tones", "teacher=wavenet", "teacher.layers=1000000000"],
        "layers: wanted a whole number from 1 to 1000, got 1000000000",
    ),
    "layers without end": (
        [*TEACHER, "teacher.layers=1000000000"],
        "layers: wanted a whole number from 1 to 1000, got 1000000000",
    ),
    "a base of a word": ([*TEACHER, "teacher.base=normal"], "teacher.base: wanted a mapping that"),
    "a mel of 3": ([*AUDIO, "data.path=PLACE/silent", "data.mel=3"], "data.mel: wanted a mapping"),
    "a front of 3": (
        ["classifier", *AUDIO[1:], "data.path=PLACE/silent", "classifier.front=3"],
        "classifier.front: wanted a mapping, got 3. Set its parts, as in classifier.front.",
    ),
    "limits of 3": (["serve", "run=PLACE/run", "limits=3"], "limits"),
    "data beyond memory": ([*TEACHER, "data.count=1000000000000"], "memory"),
    "data of none": ([*TEACHER, "data.count=0"], "count"),
    "nothing held out": ([*TEACHER, "data.held_out=0"], "held_out"),
    "a table that is not there": ([*POINTS, "data.path=PLACE/no.csv"], "no.csv"),
    "a folder as a table": ([*POINTS, "data.path=PLACE"], "found a folder"),
    "no path": (POINTS, "data.path: no value"),
    "an empty table": ([*POINTS, "data.path=PLACE/empty.csv"], "the file is empty"),
    "words in a table": ([*POINTS, "data.path=PLACE/text.csv"], "line 3, column 2 (b)"),
    "a ragged table": ([*POINTS, "data.path=PLACE/ragged.csv"], "line 2"),
    "another encoding": ([*POINTS, "data.path=PLACE/latin.csv"], "UTF-8"),
    "numbers of 1e308": ([*POINTS, "data.path=PLACE/huge.csv"], "column 1 reaches 1e+308"),
    "whole numbers of 2**60": ([*POINTS, "data.path=PLACE/ints.csv"], "2**53"),
    "NaN in a table": ([*POINTS, "data.path=PLACE/nan.csv"], "NaN"),
    "a constant column": ([*POINTS, "data.path=PLACE/flat.csv"], "column 1 is constant"),
    "three rows": ([*POINTS, "data.path=PLACE/short.csv"], "at least 10 rows"),
    "pickled objects": ([*POINTS, "data.path=PLACE/objects.npy"], "objects.npy"),
    "complex numbers": ([*POINTS, "data.path=PLACE/complex.npy"], "real numbers"),
    "a broken array": ([*POINTS, "data.path=PLACE/broken.npy"], "broken.npy"),
    "no such column": (
        [*POINTS, "data.path=PLACE/good.csv", "data.condition=[7]"],
        "no column 7",
    ),
    "no such folder of sounds": ([*AUDIO, "data.path=PLACE/none"], "no such folder"),
    "a folder without sounds": ([*AUDIO, "data.path=PLACE/nothing"], "no audio in there"),
    "only silence": (
        [*AUDIO, "data.path=PLACE/silent", "data.sample_rate=8000", "features@data.mel=mel_8k"],
        "silen",
    ),
    "a rate too low": ([*AUDIO, "data.path=PLACE/silent"], "low rate: 8000 Hz"),
    "points to prepare": (["prepare", "run=PLACE/new", "data=moons"], "data: wanted audio"),
    "a student without a teacher": (["student", "run=PLACE/new", *QUICK[:1]], "distill teacher"),
    "a student of other data": (["student", OF_RUN, "data=rings", "overwrite=true"], "data=rings"),
    "a student of another teacher": (
        ["student", OF_RUN, "teacher.layers=9", "teacher.hidden=[4]", "overwrite=true"],
        "teacher.layers=9 in place of 1",
    ),
    "a teacher that is there": (["teacher", OF_RUN, *QUICK], "resume=true"),
    "both ways": (["teacher", OF_RUN, *QUICK, "resume=true", "overwrite=true"], "choose one"),
    "another teacher resumed": (
        ["teacher", OF_RUN, *QUICK, "teacher.layers=2", "resume=true"],
        "teacher.layers=2 in place of 1",
    ),
    "a pipeline that is there": (["pipeline", OF_RUN, *QUICK], "resume=true"),
    "evaluate with layers": (["evaluate", OF_RUN, "student.layers=99"], "does not read it"),
    "evaluate with other data": (["evaluate", OF_RUN, "data=rings"], "was made with other data"),
    "evaluate with a trainer": (["evaluate", OF_RUN, "student_trainer.steps=9"], "not read it"),
    "evaluate nothing": (["evaluate", "run=PLACE/new"], "distill student"),
    "export with an objective": (["export", OF_RUN, "objective=kl"], "objective: export does not"),
    "export of a broken student": (["export", "run=PLACE/broken"], "not a readable checkpoint"),
    "benchmark no repeats": (["benchmark", OF_RUN, "benchmark.repeats=0"], "benchmark.repeats"),
    "benchmark no batch": (["benchmark", OF_RUN, "benchmark.batch_sizes=[0]"], "batch_sizes"),
    "benchmark no time": (["benchmark", OF_RUN, "benchmark.seconds=-1"], "benchmark.seconds"),
    "benchmark no chunk": (["benchmark", OF_RUN, "benchmark.chunks=[0]"], "benchmark.chunks"),
    "serve with a teacher": (["serve", OF_RUN, "teacher.layers=99"], "teacher.layers: serve does"),
    "serve with a seed": (["serve", OF_RUN, "seed=3"], "seed: serve does not read it"),
    "sample again": ([*SAMPLE, "resume=true"], "resume: sample does not read it"),
    "stream in parts of a frame": (
        ["stream", OF_RUN, "input=-", "output=-", "chunk=2.5"],
        "chunk: wanted a whole number",
    ),
    "serve without end": (["serve", OF_RUN, "limits.upload=inf"], "limits.upload: wanted a finite"),
    "serve without an export": (["serve", OF_RUN], "distill export"),
    "stream without an output": (["stream", OF_RUN, "input=-"], "output: no value"),
    "stream at no pace": (["stream", OF_RUN, "input=-", "output=-", "pace=slow"], "pace: wanted"),
    "stream in no chunks": (["stream", OF_RUN, "input=-", "output=-", "chunk=0"], "chunk: wanted"),
    "stream too hot": (["stream", OF_RUN, "input=-", "output=-", "temperature=nan"], "temperature"),
    "stream onto its input": (
        [
            "stream",
            OF_RUN,
            "input=PLACE/silent/a.wav",
            "output=PLACE/silent/a.wav",
            "overwrite=true",
        ],
        "is the input too",
    ),
    "stream a fake": (
        ["stream", "file=PLACE/fake.onnx", "input=-", "output=PLACE/new.wav"],
        "fake.onnx",
    ),
    "sample no such model": ([*SAMPLE, "model=judge"], "model: wanted teacher or student"),
    "sample -5": ([*SAMPLE, "count=-5"], "count: wanted"),
    "sample 0": ([*SAMPLE, "count=0"], "count: wanted"),
    "sample beyond memory": ([*SAMPLE, "count=1000000000000"], "count: 1000000000000 values"),
    "sample at nan": ([*SAMPLE, "temperature=nan"], "temperature: wanted"),
    "sample at -1": ([*SAMPLE, "temperature=-1"], "temperature: wanted"),
    "sample with seed -1": ([*SAMPLE, "seed=-1"], "seed: wanted"),
    "sample into text": ([*SAMPLE, "output=PLACE/a.txt"], "output: wanted a .npy or .csv"),
    "sample over a file": ([*SAMPLE, "output=PLACE/good.csv"], "overwrite=true"),
    "sample with layers": ([*SAMPLE, "student.layers=2"], "student.layers: sample does not"),
    "sample a cut checkpoint": (["sample", "run=PLACE/broken"], "not a readable checkpoint"),
}


def test_there_are_many() -> None:
    assert len(CASES) >= 60
    assert {words[0] for words, _ in CASES.values()} >= {
        *("teacher", "student", "prepare", "evaluate", "export", "benchmark", "sample"),
        *("stream", "serve", "pipeline"),
    }


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_in_one_line_and_changes_nothing(
    place: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, says = CASES[case]
    before = state(place)
    assert main([word.replace("PLACE", str(place)) for word in words]) == 2
    error = capsys.readouterr().err.strip()
    lines = [line for line in error.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1, error
    assert lines[0].startswith("distill")
    assert "bug" not in lines[0]
    assert says in lines[0]
    assert state(place) == before
