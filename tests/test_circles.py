"""No modules and no packages of distill import each other in a circle, in functions neither."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "distill"

# Its names load on first use (`__getattr__`), and what imports it reads the version or the path.
LAZY = {"distill"}


def modules() -> dict[str, str]:
    """The text of every module, by dotted name."""
    paths = {path.relative_to(PACKAGE.parent).with_suffix(""): path for path in FILES}
    return {
        ".".join(name.parts).removesuffix(".__init__"): path.read_text()
        for name, path in paths.items()
    }


FILES = sorted(PACKAGE.rglob("*.py"))


def statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that runs, in functions too; those for annotations alone never do."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    for child in ast.iter_child_nodes(node):
        yield from statements(child)


def graph(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """Which modules each module imports."""
    found: dict[str, set[str]] = {}
    for name, text in texts.items():
        wanted: set[str] = set()
        for node in statements(ast.parse(text)):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif node.module is not None:
                whole = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= {each if each in texts else node.module for each in whole}
        found[name] = (wanted & texts.keys()) - {name} - LAZY
    return found


def circle(edges: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def packages(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    def package(name: str) -> str:
        return ".".join(name.split(".")[:2])

    found: dict[str, set[str]] = {}
    for name, others in edges.items():
        found.setdefault(package(name), set()).update(map(package, others))
    return {name: others - {name} for name, others in found.items()}


def test_no_modules_import_each_other_in_a_circle():
    assert circle(graph(modules())) == []


def test_no_packages_import_each_other_in_a_circle():
    assert circle(packages(graph(modules()))) == []


def test_a_circle_through_a_function_is_seen():
    texts = {
        "distill.a.x": "from distill.b import y",
        "distill.b": "",
        "distill.b.y": "def f():\n    import distill.c",
        "distill.c": "if TYPE_CHECKING:\n    import distill.b.y\nfrom distill.a.z import f",
        "distill.a.z": "",
    }
    assert circle(graph(texts)) == []
    assert set(circle(packages(graph(texts)))) == {"distill.a", "distill.b", "distill.c"}
    texts["distill.a.z"] = "from distill.a.x import y"
    assert len(circle(graph(texts))) == 5
