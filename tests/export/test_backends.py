from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import torch

from distill.bijectors import Chain, RationalQuadraticSpline, Standardize
from distill.contract import DataSpec, FeatureSpec
from distill.distributions import Logistic
from distill.export import ONNX, PT2, Backend, Exported, ExportMismatch, accept, load, verify
from distill.models import Flow, coupling_flow, iaf, maf
from tests.randomized import randomized

FEATURES = {"color": FeatureSpec("vector", 3), "digit": FeatureSpec("label", 5)}
BACKENDS = {"pt2": PT2, "onnx": ONNX}
FLOWS = {
    "affine IAF": lambda: iaf(DataSpec(sites=3), 2, [8]),
    "conditional IAF with a logistic base": lambda: iaf(
        DataSpec(sites=3, loc=(1.0,) * 3, scale=(2.0,) * 3, features=FEATURES),
        2,
        [8],
        base=Logistic(),
    ),
    "conditional spline IAF": lambda: iaf(
        DataSpec(sites=3, features=FEATURES), 2, [8], RationalQuadraticSpline
    ),
    "permuted IAF with batch norm": lambda: iaf(
        DataSpec(sites=3), 2, [8], between=[2, 0, 1], norm="batch"
    ),
    "conditional coupling": lambda: coupling_flow(DataSpec(sites=3, features=FEATURES), 2, [8]),
    "values of any length": lambda: Flow(
        Chain([Standardize([0.5], [2.0])]), DataSpec(sites=None), Logistic()
    ),
}


@cache
def model(case: str) -> Flow:
    torch.manual_seed(0)
    return randomized(FLOWS[case]()).eval()


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory):
    """Write each model once for all tests."""
    folder, known = tmp_path_factory.mktemp("exports"), {}

    def path_of(case: str, backend: Backend):
        key = (case, backend.name)
        if key not in known:
            known[key] = accept(backend, model(case), folder / case.replace(" ", "_"))
        return known[key]

    return path_of


def features_of(flow: Flow, batch: int):
    if not flow.spec.features:
        return None
    return {"color": torch.randn(batch, 3), "digit": torch.randint(0, 5, (batch,))}


@pytest.mark.parametrize("case", FLOWS)
def test_export_matches_eager_at_other_batch_sizes(case: str, backend: Backend, files):
    path, report = files(case, backend)
    exported, flow = load(path), model(case)
    for batch in (1, 5, 33):
        noise, features = flow.noise(batch, sites=flow.spec.sites or 6), features_of(flow, batch)
        x, log_prob = exported(noise, features)
        with torch.no_grad():
            draw = flow.draw(noise, features)
        torch.testing.assert_close(x, draw.x, atol=5e-6, rtol=1e-6)
        torch.testing.assert_close(log_prob, draw.log_prob, atol=5e-6, rtol=1e-6)
    assert report.relative <= max(1e-6, 4 * max(report.rounding_x, report.rounding_log_prob))
    assert 1 in report.batch_sizes
    assert path.with_name(f"{path.name}.json").read_text().startswith("{")


def test_a_file_is_run_by_many_threads_at_once(backend: Backend, files):
    exported = load(files("affine IAF", backend)[0])
    noise = [torch.randn(4, 3) for _ in range(300)]
    alone = [exported(u)[0] for u in noise]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads take turns within a call
    try:
        with ThreadPoolExecutor(8) as pool:
            together = [x for x, _ in pool.map(exported, noise)]
    finally:
        sys.setswitchinterval(before)
    assert all(map(torch.equal, together, alone))


def test_float64_is_exported_as_float64(backend: Backend, tmp_path):
    flow = iaf(DataSpec(sites=2), 1, [4]).double()
    path, report = accept(backend, flow, tmp_path)
    assert load(path).dtype == torch.float64
    assert report.relative < 1e-7  # ONNX keeps scalar constants in float32


def test_metadata_tells_what_a_loader_must_know(backend: Backend, files):
    case = "conditional IAF with a logistic base"
    metadata = load(files(case, backend)[0]).metadata
    assert metadata.spec == model(case).spec
    assert (metadata.base, metadata.dtype) == ("logistic", "float32")
    assert len(metadata.weights) == 64
    assert metadata.torch == torch.__version__


def test_samples_are_reproducible_and_temperature_scales_the_noise(backend: Backend, files):
    exported = load(files("affine IAF", backend)[0])
    x = exported.sample(4, seed=1)
    assert torch.equal(x, exported.sample(4, seed=1))
    assert not torch.equal(x, exported.sample(4, seed=2))
    torch.testing.assert_close(x, model("affine IAF").sample(4, seed=1), atol=5e-6, rtol=1e-6)
    noise = exported.noise(4, seed=1)
    assert torch.equal(exported.sample(4, seed=1, temperature=0.5), exported(noise * 0.5)[0])


def test_a_seed_gives_the_same_noise_in_every_backend(files):
    pt2, onnx = (load(files("affine IAF", b())[0]) for b in BACKENDS.values())
    assert torch.equal(pt2.noise(7, seed=3), onnx.noise(7, seed=3))


def test_writing_changes_neither_the_model_nor_its_mode(backend: Backend, tmp_path):
    flow = iaf(DataSpec(sites=2), 1, [4], norm="batch").train()
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    backend.write(flow, tmp_path / f"a{backend.suffix}")
    assert flow.training
    assert all(p.requires_grad for p in flow.parameters())
    assert all(torch.equal(value, before[name]) for name, value in flow.state_dict().items())


def test_a_difference_from_eager_is_found(backend: Backend, files):
    exported = load(files("affine IAF", backend)[0])
    off = Exported(
        exported.metadata, lambda *a: (exported.compute(*a)[0] + 1e-4,) * 2 + ((),), "off"
    )
    with pytest.raises(ExportMismatch, match=r"named: x .*differs .* tolerance"):
        verify(off, model("affine IAF"), "named")
    nan = Exported(exported.metadata, lambda n, f, s: (n * float("nan"), n, s), "nan")
    with pytest.raises(ExportMismatch, match="differs"):
        verify(nan, model("affine IAF"), "named")


def test_a_file_of_other_weights_is_found(backend: Backend, files):
    other = iaf(DataSpec(sites=3), 2, [8])
    with pytest.raises(ExportMismatch, match="another model"):
        verify(load(files("affine IAF", backend)[0]), other, backend.name)


def test_a_file_that_differs_is_not_kept(tmp_path):
    class Wrong(PT2):
        def load(self, path):
            exported = super().load(path)
            return Exported(exported.metadata, lambda n, f, s: (n, n, s), path)

    (tmp_path / "student.pt2").write_text("an older one")
    with pytest.raises(ExportMismatch, match="pt2"):
        accept(Wrong(), model("affine IAF"), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["student.pt2"]
    assert (tmp_path / "student.pt2").read_text() == "an older one"


def test_a_flow_that_draws_site_after_site_is_refused(backend: Backend, tmp_path):
    with pytest.raises(ValueError, match="draws in parallel"):
        backend.write(maf(DataSpec(sites=2), 1, [4]), tmp_path / "x")


def test_a_base_that_a_loader_cannot_draw_is_refused(backend: Backend, tmp_path):
    flow = Flow(Standardize([0.0], [1.0]), DataSpec(sites=2), maf(DataSpec(sites=2), 1, [4]))
    with pytest.raises(ValueError, match=r"draws in parallel|wanted a base"):
        backend.write(flow, tmp_path / "x")


def test_a_file_draws_the_sites_of_its_values_alone(backend: Backend, files):
    exported = load(files("affine IAF", backend)[0])
    assert exported.sample(2, sites=3).shape == (2, 3)
    with pytest.raises(ValueError, match="wanted the 3 sites of its values, got sites=7"):
        exported.sample(2, sites=7)
