"""The package has floors: a file imports its own floor and those below."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "distill"

FLOORS = {
    "_version": 0,
    "errors": 0,
    "contract": 0,
    "files": 0,
    "locking": 0,
    "checks": 0,
    "interruption": 0,
    "configs": 0,
    "instantiate": 0,
    "renamed": 0,
    "differences": 0,
    "trust": 0,
    "arrays": 0,
    "f0": 0,
    "frames": 0,
    "functional": 0,
    "rows": 0,
    "sharing": 0,
    "labels": 0,
    "progress": 0,
    "bijectors": 0,
    "distributions": 0,
    "networks": 0,
    "kernels": 0,
    "models": 1,
    "objectives": 2,
    "data": 2,
    "training": 3,
    "evaluation": 3,
    "export": 3,
    "serving": 4,
    "benchmark": 4,
    "stages": 5,
    "cli": 6,
    "__main__": 7,
    "__init__": 7,
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    """Every module of distill that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names.add(node.module or "")
            if node.module == "distill":
                names |= {f"distill.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "distill"}


def floor_of(module: str) -> int:
    parts = module.split(".")
    return FLOORS[parts[1]] if len(parts) > 1 else 0


def violations(path: str, text: str) -> list[str]:
    own = FLOORS[path.split("/")[0].removesuffix(".py")]
    return [name for name in imported(ast.parse(text)) if floor_of(name) > own]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_imports_its_own_floor_and_those_below(path):
    relative = path.relative_to(PACKAGE).as_posix()
    assert not violations(relative, path.read_text()), f"{relative} looks upstairs"


def test_every_part_of_the_package_has_a_floor():
    parts = {path.stem for path in PACKAGE.glob("*.py")}
    parts |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert parts == set(FLOORS)


def test_a_look_upstairs_is_seen():
    inside = "def f():\n    from distill.training.trainer import Trainer\n"
    assert violations("models/flow.py", inside) == ["distill.training.trainer"]
    assert violations("stages/teacher.py", inside) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_file_stays_within_300_lines(path):
    assert len(path.read_text().splitlines()) <= 300


def test_scripts_are_never_imported():
    for path in FILES:
        assert "scripts" not in {
            name.split(".")[0] for name in imported(ast.parse(path.read_text()))
        }
