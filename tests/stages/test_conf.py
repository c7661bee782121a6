"""Every yaml of every group composes and builds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from omegaconf.errors import MissingMandatoryValue

from distill.bijectors import Jacobi
from distill.contract import DataSpec, FeatureSpec
from distill.errors import describe
from distill.evaluation import PointsEvaluator, Report
from distill.export import Backend
from distill.instantiate import build
from distill.models import Density
from distill.objectives import Objective
from distill.stages import STAGES, student, teacher
from distill.training import Trainer
from tests.stages.test_student_presets import ENVELOPE, OVER_BLOCKS, SIZES

CONF = Path(__file__).parents[2] / "conf"


def config(*overrides: str, stage: str = "pipeline") -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(stage, list(overrides))


def names(group: str) -> list[str]:
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert found, f"conf/{group} is empty"
    return found


def spec() -> DataSpec:
    """Return a spec that every kind of model can be built for."""
    return DataSpec(sites=4, features={"digit": FeatureSpec("label", 3)})


def built(role: str, name: str) -> Density:
    """Build a model; one that whitens wants sound with an envelope, and a teacher that whitens."""
    if name not in ("wavenet_blocks", *OVER_BLOCKS):
        return build(config(f"{role}={name}")[role], spec=spec())
    framed = {key: FeatureSpec("frames", size) for key, size in SIZES.items()}
    sound = DataSpec(None, (0.0,), (0.1,), framed, 8000, 32, settings={"envelope": ENVELOPE})
    words = {"teacher": "teacher=wavenet_blocks", role: f"{role}={name}"}
    return build(config(*words.values(), "teacher.outer.order=4")[role], spec=sound)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_every_stage_composes_and_resolves(stage: str) -> None:
    composed = config("data=moons", stage=stage)
    assert composed.run == "runs/default"
    assert composed.seed == 0


@pytest.mark.parametrize("name", names("teacher"))
def test_every_teacher_builds(name: str) -> None:
    assert isinstance(built("teacher", name), Density)


@pytest.mark.parametrize("name", names("student"))
def test_every_student_builds(name: str) -> None:
    assert isinstance(built("student", name), Density)


@pytest.mark.parametrize("name", names("objective"))
def test_every_objective_builds(name: str) -> None:
    assert isinstance(build(config(f"objective={name}").objective), Objective)


@pytest.mark.parametrize("name", names("optimizer"))
def test_every_optimizer_builds(name: str) -> None:
    chosen = config(f"optimizer@teacher_trainer.optimizer={name}")
    trainer = build(chosen.teacher_trainer)
    assert isinstance(trainer, Trainer)
    assert callable(trainer.optimizer)


@pytest.mark.parametrize("name", names("export"))
def test_every_export_backend_builds(name: str) -> None:
    chosen = config(f"+export@exports.{name}={name}" if name not in config().exports else "seed=0")
    assert isinstance(build(chosen.exports[name]), Backend)


@pytest.mark.parametrize("name", names("sampler"))
def test_every_sampler_builds(name: str) -> None:
    assert build(config(f"sampler={name}", stage="sample").sampler) == Jacobi()


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_names_itself_and_its_cost(name: str) -> None:
    composed = config(f"experiment={name}")
    assert composed.name == name
    assert composed.run == f"runs/{name}"
    comments = [
        line
        for line in (CONF / "experiment" / f"{name}.yaml").read_text().splitlines()
        if line.startswith("#") and "@package" not in line
    ]
    assert any("minute" in line or "second" in line or "hour" in line for line in comments)


SMALL = {
    "points": ["++data.count=300"],
    "audio": [
        "data=tones",
        "++data.count=4",
        "++data.seconds=0.7",
        "++data.crop=4800",
        "++teacher.channels=4",
        "++student.channels=4",
    ],
}


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_takes_a_step_in_both_stages(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = "audio" if "Audio" in config(f"experiment={name}").evaluation["_target_"] else "points"
    small = [*SMALL[kind], "evaluation=points"]
    if kind == "audio":  # Tones have no speakers, and no copies at other speeds.
        data = config(f"experiment={name}").data
        wanted = [c for c in data.conditions if c != "speaker"]
        small.append(f"data.conditions=[{','.join(wanted)}]")
        small += ["~data.speeds"] if data.get("speeds") else []
    for stage, step in (("teacher", teacher), ("student", student)):
        composed = config(
            f"experiment={name}",
            f"run={tmp_path}",
            *small,
            "debug=two_steps",
            "teacher_trainer.batch_size=2",
            "student_trainer.batch_size=2",
            stage=stage,
        )
        # The step is what counts here; evaluators have tests of their own.
        monkeypatch.setattr(PointsEvaluator, "watch", lambda *_: Report())
        numbers = step.run(composed)
        assert numbers["steps"] == 2
        assert numbers["skipped_steps"] == 0


def test_a_missing_value_is_named_in_full() -> None:
    with pytest.raises(MissingMandatoryValue) as caught:
        build(config("data=audio").data)
    assert describe(caught.value).text == "data.path: no value. Give one with data.path=VALUE."
