"""Distillation in Python, without configs: data, fit, distill, save, load."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from torch.distributions import Independent, MultivariateNormal, Normal
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import distill
from distill.bijectors import Affine, RationalQuadraticSpline
from distill.configs import config_dir
from distill.data import ArrayData, Moons, Points
from distill.data.audio import AudioCorpus
from distill.distributions import Logistic
from distill.evaluation import PointsEvaluator
from distill.evaluation.divergence import reverse_kl
from distill.models.recipe import name_of, recipe_of
from distill.objectives import ReverseKL
from distill.training.fit import objective_of
from tests import own_models

POINTS = np.random.default_rng(0).normal(size=(120, 2)) * [2.0, 0.5]
SMALL = {"layers": 1, "hidden": [8]}
NORMAL = MultivariateNormal(torch.zeros(2), torch.eye(2))


class Pairs(Dataset):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, dict[str, int]]:
        return torch.tensor([index, -2.0 * index]), {"label": index % 3}


class Endless(IterableDataset):
    def __iter__(self):
        yield torch.zeros(2)


def test_a_teacher_is_fitted_distilled_saved_and_sampled(tmp_path: Path) -> None:
    data = distill.as_data(POINTS)
    teacher = distill.fit(distill.maf(data.spec, **SMALL), data, steps=150, learning_rate=1e-2)
    held_out = torch.cat([b.x for b in data.held_out(64)])
    entropy = 1 + np.log(2 * np.pi)  # of the density, whose scales have product 1
    assert float(-teacher.log_prob(held_out).detach().sum(1).mean()) < entropy + 0.4
    student = distill.iaf(data.spec, **SMALL)
    before = reverse_kl(student, teacher, 500).mean
    student = distill.distill(student, teacher, data, "reverse_kl", steps=60, learning_rate=1e-2)
    after = reverse_kl(student, teacher, 500)
    assert after.mean < 0.1 or after.mean < before / 2
    assert not any(p.requires_grad for p in teacher.parameters())
    loaded = distill.load(distill.save(student, tmp_path / "student.pt"))
    assert torch.equal(loaded.sample(5, seed=3), student.sample(5, seed=3))


def test_a_file_with_an_altered_byte_is_refused(tmp_path: Path) -> None:
    model = distill.maf(distill.as_data(POINTS).spec, **SMALL)
    file = distill.save(model, tmp_path / "model.pt")
    content = bytearray(file.read_bytes())
    weights = max(model.parameters(), key=torch.numel).detach().numpy().tobytes()
    content[content.index(weights) + 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        distill.load(file)


def test_what_was_saved_is_loaded_by_another_process(tmp_path: Path) -> None:
    spec = distill.as_data(POINTS).spec
    transform = partial(RationalQuadraticSpline, bins=4)
    model = distill.maf(spec, **SMALL, transform=transform, between=[1, 0])
    distill.save(model, tmp_path / "model")
    draw = f"load({str(tmp_path / 'model')!r}).sample(1, seed=0).tolist()"
    code = f"import distill; print(distill.{draw})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(model.eval().sample(1, seed=0).tolist())


def test_stages_go_on_from_a_folder_that_was_saved(tmp_path: Path) -> None:
    from distill.cli import main

    distill.save(distill.maf(distill.as_data(POINTS).spec, **SMALL), tmp_path / "run" / "teacher")
    out = tmp_path / "out.npy"
    assert main(["sample", f"run={tmp_path / 'run' / 'teacher'}", "count=3", f"output={out}"]) == 0
    assert np.load(out).shape == (3, 2)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (POINTS, ArrayData),
        (POINTS.tolist(), ArrayData),
        (torch.tensor(POINTS), ArrayData),
        (TensorDataset(torch.tensor(POINTS)), ArrayData),
        (DataLoader(TensorDataset(torch.tensor(POINTS)), batch_size=7), ArrayData),
        (Moons(), Moons),
    ],
)
def test_data_is_taken_as_people_have_it(given: object, kind: type) -> None:
    data = distill.as_data(given)
    assert type(data) is kind
    assert data.spec.sites == 2
    if kind is ArrayData:
        assert data.identity() == distill.as_data(POINTS).identity()


def test_features_come_beside_values_or_in_a_dataset() -> None:
    given = distill.as_data(POINTS, {"label": np.arange(120) % 3}, held_out=0.5)
    assert (given.spec.features["label"].size, given.train_size) == (3, 60)
    data = distill.as_data(Pairs())
    batch = data.train_batch(0, 8, 0)
    assert torch.equal(batch.x[:, 0].long() % 3, batch.features["label"])


def test_files_and_folders_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", POINTS)
    assert isinstance(distill.as_data(tmp_path / "points.npy", held_out=0.2), Points)
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for name in "abc":
        soundfile.write(sounds / f"{name}.wav", 0.1 * np.sin(np.arange(8000)), 8000)
    data = distill.as_data(sounds, sample_rate=8000, conditions=[], crop=1024, cache=None)
    assert isinstance(data, AudioCorpus)
    assert data.batch_size == 4


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: distill.as_data(Endless()), "wanted a dataset with a length"),
        (lambda: distill.as_data(TensorDataset(torch.ones(9, 2), torch.ones(9))), "row 0"),
        (lambda: distill.as_data(POINTS, share=0.1), "share"),
        (lambda: distill.as_data(Moons(), held_out=0.1), "takes no features or settings: got held"),
        (lambda: distill.as_data("no/such/folder"), "no such file or folder"),
        (lambda: distill.as_data(np.zeros((4, 2, 2))), r"shape \(N, T\)"),
        (lambda: distill.fit(distill.maf(Moons().spec, **SMALL), POINTS, step=3), "'step'"),
        (lambda: distill.fit(distill.maf(Moons().spec), POINTS[:, [0, 0, 1]]), "sites=2"),
        (lambda: objective_of("perceptual"), "perceptual reads the classifier of a run"),
        (lambda: objective_of("full"), "full reads the classifier of a run"),
        (
            lambda: distill.ForeignDensity(distill.maf, Moons().spec),
            r"or a call maf\(\) that returns one, got maf\(spec",
        ),
        (
            lambda: distill.ForeignDensity(lambda x: -x, Moons().spec),
            r"got <lambda>\(x\)\. Make the model",
        ),
        (lambda: objective_of("revrse_kl"), "wanted one of clarinet, .*got 'revrse_kl'"),
        (lambda: distill.ForeignDensity(3, Moons().spec), "wanted a density with log_prob"),
        (lambda: distill.save(distill.ForeignDensity(NORMAL, Moons().spec), "x"), "by hand"),
    ],
)
def test_mistakes_are_named(call, named: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=named):
        call()
    assert not list(tmp_path.iterdir())


def test_a_folder_keeps_checkpoints_and_a_resumed_fit_gives_the_same_curve(tmp_path: Path) -> None:
    def fitted(folder: Path | None, **settings: object) -> torch.Tensor:
        torch.manual_seed(0)
        model = distill.maf(distill.as_data(POINTS).spec, **SMALL)
        distill.fit(model, POINTS, folder=folder, schedule="constant", **settings)
        return model.log_prob(torch.zeros(1, 2))

    whole = fitted(None, steps=6)
    assert torch.equal(fitted(tmp_path / "a", steps=6), whole)
    assert (tmp_path / "a" / "checkpoint.pt").is_file()
    with pytest.raises(FileExistsError, match="resume=True"):
        fitted(tmp_path / "a", steps=6)
    assert torch.equal(fitted(tmp_path / "a", steps=6, resume=True), whole)
    with pytest.raises(ValueError, match=r"settings.learning_rate=0.1 in place of 0.001"):
        fitted(tmp_path / "a", steps=6, resume=True, learning_rate=0.1)
    loaded = distill.load(tmp_path / "a")
    assert torch.equal(loaded.log_prob(torch.zeros(1, 2)), whole)


def test_an_evaluator_looks_at_what_is_trained(tmp_path: Path) -> None:
    evaluator = PointsEvaluator(count=50, watch_count=50, pictures=False)
    data, folder = distill.as_data(POINTS), tmp_path / "run"
    model = distill.maf(data.spec, **SMALL)
    distill.fit(model, data, steps=2, watch_every=1, evaluator=evaluator, folder=folder)
    assert any(path.name.startswith("events") for path in folder.iterdir())
    with pytest.raises(ValueError, match="something to watch with"):
        distill.fit(model, data, steps=2, watch_every=1)


def test_a_student_on_logistic_noise_is_saved_with_its_noise(tmp_path: Path) -> None:
    student = distill.iaf(distill.as_data(POINTS).spec, base=Logistic(), **SMALL)
    loaded = distill.load(distill.save(student, tmp_path / "student.pt"))
    assert isinstance(loaded.base, Logistic)
    assert torch.equal(loaded.sample(3, seed=1), student.sample(3, seed=1))


def test_own_models_are_saved_and_loaded_by_registering_their_builder(tmp_path: Path) -> None:
    spec = distill.as_data(POINTS).spec
    plain = own_models.narrow(spec, 5)
    assert recipe_of(plain)["_target_"] == "distill.models.maf"
    model = own_models.registered(spec, width=5)
    assert recipe_of(model) == {"_target_": "tests.own_models.registered", "width": 5}
    file = distill.save(model, tmp_path / "own.pt")
    x = torch.zeros(1, 2)
    assert torch.equal(distill.load(file).log_prob(x), model.log_prob(x))
    own = own_models.Squeezed(spec, factor=0.5)
    file = distill.save(own, tmp_path / "class.pt")
    loaded = distill.load(file)
    assert (type(loaded), loaded.factor) == (own_models.Squeezed, 0.5)
    torch.testing.assert_close(loaded.log_prob(x), own.log_prob(x))


def test_what_no_other_process_could_import_is_not_registered() -> None:
    with pytest.raises(ValueError, match="can be imported"):
        distill.register(lambda spec: None)


def test_a_recipe_says_what_it_cannot_write_down(tmp_path: Path) -> None:
    model = distill.maf(Moons().spec, **SMALL, transform=lambda: Affine())
    with pytest.raises(ValueError, match=r"models.maf: transform=.*partial of a class"):
        distill.save(model, tmp_path / "model.pt")
    assert not list(tmp_path.iterdir())
    assert name_of(torch.nn.LeakyReLU) == "torch.nn.LeakyReLU"


def test_another_librarys_density_scores_and_gives_its_gradient() -> None:
    teacher = distill.ForeignDensity(NORMAL, Moons().spec)
    x = torch.randn(4, 2, requires_grad=True)
    log_prob = teacher.log_prob(x)
    torch.testing.assert_close(log_prob.sum(1), NORMAL.log_prob(x))
    torch.testing.assert_close(torch.autograd.grad(log_prob.sum(), x)[0], -x.detach())
    assert torch.equal(teacher.sample(3, seed=1), teacher.sample(3, seed=1))
    with pytest.raises(ValueError, match="Independent"):
        distill.ForeignDensity(Normal(torch.zeros(2), 1.0), Moons().spec).log_prob(x)
    apart = Independent(Normal(torch.zeros(2), 1.0), 1)
    torch.testing.assert_close(distill.ForeignDensity(apart, Moons().spec).log_prob(x), log_prob)


def test_a_zuko_flow_is_distilled(monkeypatch: pytest.MonkeyPatch) -> None:
    zuko = pytest.importorskip("zuko")
    torch.manual_seed(0)
    data = Moons()
    flow = zuko.flows.MAF(2, transforms=1, hidden_features=[8])
    student = distill.iaf(data.spec, **SMALL)
    before = student.log_prob(torch.zeros(1, 2)).sum()
    kept = [p.clone() for p in flow.parameters()]
    distill.distill(student, flow, data, "reverse_kl", steps=3, batch_size=32)
    assert student.log_prob(torch.zeros(1, 2)).sum() != before
    assert all(torch.equal(a, b) for a, b in zip(kept, flow.parameters(), strict=True))
    conditional = distill.as_data(POINTS, {"where": POINTS[:, :1]})
    given = zuko.flows.MAF(2, context=1, transforms=1, hidden_features=[8])
    teacher = distill.ForeignDensity(given, conditional.spec)
    batch = conditional.train_batch(0, 5, 0)
    wanted = given(batch.features["where"]).log_prob(batch.x)
    torch.testing.assert_close(teacher.log_prob(batch.x, batch.features).sum(1), wanted)
    assert teacher.sample(5, batch.features, seed=0).shape == (5, 2)


def test_a_student_is_a_distribution_of_torch() -> None:
    torch.manual_seed(0)
    flow = distill.iaf(distill.as_data(POINTS).spec, **SMALL).double()
    whole = distill.FlowDistribution(flow)
    x, log_prob = whole.rsample_and_log_prob((3, 4))
    assert (x.shape, log_prob.shape) == ((3, 4, 2), (3, 4))
    torch.testing.assert_close(whole.log_prob(x), log_prob)
    assert torch.autograd.grad(whole.rsample().sum(), next(flow.parameters()))[0].isfinite().all()
    data = distill.as_data(POINTS, {"label": np.arange(120) % 3})
    flow = distill.iaf(data.spec, **SMALL).double()
    given = distill.FlowDistribution(flow, {"label": torch.tensor([0, 2])})
    assert (given.batch_shape, given.event_shape) == ((2,), (2,))
    x, log_prob = given.rsample_and_log_prob((5,))
    assert x.shape == (5, 2, 2)
    torch.testing.assert_close(given.log_prob(x), log_prob)
    torch.testing.assert_close(given.log_prob(x[:, 1:].expand(5, 2, 2))[:, 1], log_prob[:, 1])


def test_columns_without_a_density_are_told_of_arrays_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    dice = np.random.default_rng(0).integers(0, 6, (120, 1))
    distill.as_data(np.hstack([dice, POINTS[:, :1], 2 * POINTS[:, :1]]))
    told = capsys.readouterr().out
    assert "as_data: whole numbers only in column 0" in told
    assert "column 2 is column 1 scaled and shifted" in told
    data = distill.as_data(dice, dequantize=True)
    assert "note" not in capsys.readouterr().out
    assert len(data.train_values.unique()) > 90
    assert data.train_values.round().unique().tolist() == [0, 1, 2, 3, 4, 5]


def test_an_objective_is_found_by_name_inside_an_application_of_hydra() -> None:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        assert type(objective_of("reverse_kl")) is ReverseKL
        assert GlobalHydra.instance().is_initialized()  # theirs goes on
        assert compose("objective/reverse_kl").objective
