"""What docs/building makes of docstrings, formulas and configs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from building import api, configuration, keys
from building.docstrings import to_rst
from building.formulas import to_mathml
from distill.cli.config_groups import config_dir, groups
from distill.stages import STAGES
from tests.test_docs import DOCS

PACKAGE = Path(__file__).parents[1] / "distill"


def docstrings() -> list[str]:
    trees = [ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, kinds)]
    return [text for node in nodes if (text := ast.get_docstring(node))]


def test_no_key_lacks_a_type_or_a_meaning() -> None:
    found = {
        f"{stage} {key.name}": key for stage, of in keys.keys_of_stages().items() for key in of
    }
    found |= {f"{t} {key.name}": key for t in keys.targets() for key in keys.keys_of(t)}
    found |= {f"benchmark {key.name}": key for key in keys.keys_of_group("benchmark")}
    assert {"sample count", "distill.models.maf layers", "benchmark repeats"} <= found.keys()
    assert not [name for name, key in found.items() if not (key.type and len(key.meaning) > 1)]


def test_every_option_says_what_it_is() -> None:
    options = keys.option_groups()
    assert options.keys() == groups([config_dir()]).keys()
    bare = [(g, o[0]) for g, of in options.items() if g != "benchmark" for o in of if not o[1]]
    assert not bare


def test_every_stage_and_class_has_a_place_on_the_page() -> None:
    headings = set(re.findall(r"^### (.+)$", configuration.page(), re.MULTILINE))
    assert headings >= {*STAGES, *keys.targets(), *groups([config_dir()])} - {"pipeline"}


def test_every_public_name_is_described_once_and_linked_to_from_elsewhere() -> None:
    made = api.pages()
    described = re.compile(r"^\.\. (?:autoclass|autofunction|data):: (\w+)$", re.MULTILINE)
    for module in api.packages():
        page = made[f"api/{module.__name__}"]
        own, linked = described.findall(page), re.findall(r"`(\w+) <(distill[\w.]*)\.\w+>`", page)
        public = sorted(name for name in module.__all__ if not name.startswith("__"))
        assert sorted([*own, *(name for name, _ in linked)]) == public
        for name, home in linked:
            assert name in described.findall(made[f"api/{home}"])


def test_every_formula_can_be_drawn() -> None:
    formula = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", re.DOTALL)
    pages = [re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL) for text in DOCS.values()]
    found = [match for text in [*docstrings(), *pages] for match in formula.finditer(text)]
    assert len(found) > 100
    for match in found:
        assert to_mathml(match[1] or match[2], bool(match[1])).startswith("<math")


def test_a_formula_without_a_counterpart_is_an_error() -> None:
    with pytest.raises(Exception, match="can't be drawn"):
        to_mathml(r"\nosuchthing x")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("of `x`s", ":py:obj:`x`\\ s"),
        ("`a b`", "``a b``"),
        ("a|b and 2 * c, *is*", "a\\|b and 2 \\* c, *is*"),
        ("    sites: T.", "    sites: \\T."),
        ("Source: Kingma, arXiv 1606.04934.", "**Source.** Kingma, `arXiv 1606.04934 <https"),
        ("Do this:\n\n    x = 1\n", "Do this::\n\n    x = 1\n"),
        ("$$a\n  b$$", ".. math::\n\n   a\n   b\n"),
        ("    >>> f(`a`, *b)\n    `c`\n", "    >>> f(`a`, *b)\n    `c`\n"),
    ],
)
def test_docstrings_become_rst(given: str, wanted: str) -> None:
    assert wanted in to_rst(given)
