"""What a file may have built, and that nothing else of it is ever imported or run."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import nn

import distill
from distill.bijectors import Bijector, Transform
from distill.cli.config_groups import config_dir
from distill.contract import DataSpec
from distill.data import Data
from distill.distributions import Base, Head
from distill.instantiate import build
from distill.models import maf
from distill.objectives import Objective
from distill.stages.folders import saved_node
from distill.stages.typed_overrides import with_typed
from distill.training import Checkpoint
from distill.trust import ALLOWED, check_config

MODEL = {"_target_": "distill.models.maf", "layers": 1, "hidden": [4]}
NAMES = [f"{package}.{name}" for package, names in ALLOWED.items() for name in names.split()]
# Files of these groups end up in checkpoints; the others are built from the command line only.
GROUPS = ("data", "teacher", "student", "classifier", "objective", "evaluation", "features")


def targets(node):
    if isinstance(node, dict):
        found = [node["_target_"]] if "_target_" in node else []
        return found + [name for value in node.values() for name in targets(value)]
    return [name for value in node for name in targets(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("name", NAMES)
def test_every_listed_name_is_a_class_or_builder(name):
    package, _, short = name.rpartition(".")
    listed = getattr(importlib.import_module(package), short)
    assert callable(listed)
    # By the module that defines it, too.
    check_config({"_target_": f"{listed.__module__}.{listed.__qualname__}"})


@pytest.mark.parametrize("path", sorted(config_dir().rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_of_data_and_models_may_come_back_from_a_checkpoint(path):
    node = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    if path.parent.name == "experiment":
        named = [name for group in GROUPS for name in targets(node.get(group, {}))]
    else:
        named = targets(node) if path.parent.name in GROUPS else []
    for name in named:
        # A classifier is loaded while an objective is made, which no file does.
        if name != "distill.training.load":
            check_config({"_target_": name})


@pytest.mark.parametrize("kind", [Bijector, Transform, Base, Head, Data, Objective])
def test_every_public_class_of_a_kind_is_listed(kind):
    """Whoever adds one adds its name to `ALLOWED`."""
    for package, names in ALLOWED.items():
        if package.startswith("distill."):
            module = importlib.import_module(package)
            for name in getattr(module, "__all__", ()):
                made = getattr(module, name)
                concrete = isinstance(made, type) and issubclass(made, kind)
                if concrete and not made.__subclasses__() and name not in ("Data", "Objective"):
                    assert name in names.split(), f"{package}.{name}"


HOSTILE = [
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "canary.run",
    "torch.utils.collect_env.run",
    "torch.hub.load",
    "torch.load",
    "torch.nn.Module.load_state_dict",
    "torch.nn.modules.module.torch.hub.load",
    "torch.nn.Linear.__init__.__globals__",
    "distill.load",
    "distill.instantiate.build",
    "distill.models.build.cast",
    "distill.models.maf.__globals__",
    "distill.models.checkpoint.os.system",
    "distill.bijectors.os.system",
    "distill.bijectors.base.Shift",
    "distill.models.canary.run",
    "hydra.utils.get_method",
    "functools.partial",
    "${oc.env:HOME}",
    "",
    ".",
    "distill.models.maf ",
    "distill..models.maf",
]


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A package that leaves a file when it is imported."""
    (tmp_path / "canary").mkdir()
    mark = tmp_path / "imported"
    code = f"open({str(mark)!r}, 'w').close()\n\ndef run(**_):\n    return 1\n"
    (tmp_path / "canary" / "__init__.py").write_text(f"import os\n{code}", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield mark
    sys.modules.pop("canary", None)


@pytest.mark.parametrize("target", HOSTILE)
@pytest.mark.parametrize("place", ["top", "nested", "in a list", "in a partial"])
def test_a_name_that_is_not_listed_is_refused_before_anything_is_imported(canary, target, place):
    node: dict = {"_target_": target, "command": "touch x"}
    config = {
        "top": node,
        "nested": {**MODEL, "transform": {"a": node}},
        "in a list": {**MODEL, "hidden": [[node]]},
        "in a partial": {**MODEL, "base": {**node, "_partial_": True}},
    }[place]
    with pytest.raises(ValueError, match=r"may name|never followed"):
        build(config, trusted=(), spec=DataSpec(sites=2))
    assert not canary.exists()


def test_a_trusted_package_is_imported_only_if_all_the_rest_is_listed(canary):
    own = {"_target_": "canary.run"}
    with pytest.raises(ValueError, match="build 'os"):
        build({**own, "a": {"_target_": "os.system"}}, trusted=["canary"])
    assert not canary.exists()
    assert build(own, trusted=["canary"]) == 1
    with pytest.raises(ValueError, match=r"canary\.os\.system"):
        build({"_target_": "canary.os.system", "command": "true"}, trusted=["canary"])


@pytest.mark.parametrize(
    ("trusted", "why"),
    [
        ("foo", "wanted a list"),
        (["os"], "not a package of your own"),
        (["torch"], "not a package of your own"),
        (["a.b"], "without dots"),
        ([""], "without dots"),
        ([3], "without dots"),
    ],
)
def test_what_nobody_can_mean_to_trust_is_refused(trusted, why):
    with pytest.raises(ValueError, match=why):
        build(MODEL, trusted=trusted, spec=DataSpec(sites=2))


@pytest.mark.parametrize(
    "odd",
    [
        {"a": torch.ones(1)},
        {"a": {1, 2}},
        {torch.float32: 1},
        {"_target_": 3},
        {"a": "${oc.create:'{_target_: os.system}'}"},
        {"a": b"bytes"},
        {"a": torch.nn.Parameter},
    ],
    ids=str,
)
def test_a_config_that_is_not_plain_data_is_refused(odd):
    with pytest.raises(ValueError, match="saved config holds"):
        check_config({**MODEL, **odd})


def test_a_loaded_checkpoint_holds_to_the_list(canary, tmp_path):
    config = {"teacher": {**MODEL, "base": {"_target_": "canary.run"}}}
    model = maf(DataSpec(sites=2), 1, [4])
    Checkpoint("teacher", config, DataSpec(sites=2), model.state_dict()).save(tmp_path)
    with pytest.raises(ValueError, match="may name"):
        distill.load(tmp_path)
    assert not canary.exists()
    Checkpoint("teacher", {"teacher": MODEL}, DataSpec(sites=2), model.state_dict()).save(tmp_path)
    assert isinstance(distill.load(tmp_path), nn.Module)


EVENTS: list[str] = []
_WATCHED = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "exec", "os.remove")


def _watch(event: str, arguments: tuple) -> None:
    if _watching and event in _WATCHED:
        EVENTS.append(event)


_watching = False
sys.addaudithook(_watch)

names = st.one_of(
    st.sampled_from([*HOSTILE, *NAMES]),
    st.tuples(st.sampled_from(NAMES), st.sampled_from([".x", ".__init__", "2", " "])).map("".join),
    st.lists(
        st.sampled_from(["distill", "torch", "canary", "os", "run", "system", "models", "hub"]),
        min_size=1,
        max_size=4,
    ).map(".".join),
)
leaves = st.one_of(st.none(), st.booleans(), st.integers(-2, 2), st.text(max_size=5), names)
keys = st.sampled_from(["_target_", "_partial_", "_args_", "_recursive_", "hidden", "base", "spec"])
nodes = st.recursive(
    st.one_of(leaves, st.builds(lambda name: {"_target_": name}, names)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(node=nodes)
def test_no_config_of_a_file_reaches_beyond_the_list(canary, node):
    global _watching
    config = {"teacher": {**MODEL, "activation": node} if not isinstance(node, dict) else node}
    clean = True
    _watching = True
    try:
        check_config(config)
    except ValueError:
        clean = False
    finally:
        _watching = False
    assert EVENTS == []
    assert "canary" not in sys.modules
    assert not canary.exists()
    foreign = [name for name in targets(config) if not str(name).startswith(("distill.", "torch."))]
    assert not (clean and foreign)


@settings(max_examples=40, deadline=None)
@given(node=nodes)
def test_a_checkpoint_of_any_config_loads_or_is_refused_in_words(node):
    with tempfile.TemporaryDirectory() as folder:
        model = maf(DataSpec(sites=2), 1, [4])
        config = {"teacher": node}
        Checkpoint("teacher", config, DataSpec(sites=2), model.state_dict()).save(Path(folder))
        before = sorted(os.listdir(folder))
        said = ""
        try:
            distill.load(folder)
        except ValueError as error:
            said = str(error)
        assert "\n" not in said
        assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("key", ["cluster", "download"])
def test_no_file_reaches_beyond_this_machine(key):
    node = {"_target_": "distill.data.audio.AudioCorpus", "path": "a", key: "evil:6379"}
    config = {"model": {"_target_": "distill.models.maf", "hidden": [node]}}
    with pytest.raises(ValueError, match=f"sets {key}='evil:6379', which only the command line"):
        Checkpoint("model", config, DataSpec(2), {}).model()


def test_a_saved_cluster_is_left_out_and_a_typed_one_is_taken():
    data = {"_target_": "a", "cluster": "evil:6379", "layout": {"download": True}}
    saved = Checkpoint("teacher", {"data": data}, DataSpec(2), {})
    config = OmegaConf.create({"run": "r", "data": {"cluster": "auto"}})
    with with_typed([]):
        assert saved_node(config, saved, "data") == {"_target_": "a", "layout": {}}
    with with_typed(["data.cluster=auto"]):
        assert saved_node(config, saved, "data").cluster == "auto"
