"""One page for each package, with everything in its `__all__`."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from types import ModuleType

from sphinx.pycode import ModuleAnalyzer

import distill
from building.docstrings import to_rst

_EXTRA = ("distill.contract",)
"""Modules that are no packages, and have public names too."""


def packages() -> list[ModuleType]:
    """Return the modules with an `__all__` of their own, the package itself first."""
    names = [m.name for m in pkgutil.walk_packages(distill.__path__, "distill.") if m.ispkg]
    found = [import_module(name) for name in ("distill", *sorted({*names, *_EXTRA}))]
    return [module for module in found if getattr(module, "__all__", None)]


def pages() -> dict[str, str]:
    """Return the generated pages by name: one for each package, and their list."""
    modules = packages()
    homes: dict[int, str] = {}
    for module in reversed(modules):  # the deepest package is a name's home
        for name in module.__all__:
            homes.setdefault(id(getattr(module, name)), module.__name__)
    made = {f"api/{module.__name__}": _page(module, homes) for module in modules}
    entries = "\n".join(f"{module.__name__}" for module in modules)
    made["api/index"] = (
        "# API\n\nEvery public name, by the package to import it from. What a package does not "
        f"list is its own affair.\n\n```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n"
    )
    return made


def _page(module: ModuleType, homes: dict[int, str]) -> str:
    own, elsewhere = [], []
    for name in module.__all__:
        value = getattr(module, name)
        home = homes[id(value)]
        if name.startswith("__"):
            continue
        if home == module.__name__:
            own.append(_directive(module, name, value))
        else:
            elsewhere.append(f"- {{py:obj}}`{name} <{home}.{name}>`, of `{home}`")
    parts = [
        f"# {module.__name__}",
        f"```{{eval-rst}}\n.. automodule:: {module.__name__}\n   :no-members:\n```",
    ]
    if elsewhere:
        parts += ["Also importable from here:", "\n".join(elsewhere)]
    rst = "\n\n".join(own)
    parts.append(f"```{{eval-rst}}\n.. currentmodule:: {module.__name__}\n\n{rst}\n```")
    return "\n\n".join(parts) + "\n"


def _directive(module: ModuleType, name: str, value: object) -> str:
    if inspect.isclass(value):
        return f".. autoclass:: {name}\n   :members:\n   :special-members: __call__"
    if inspect.isroutine(value):
        return f".. autofunction:: {name}"
    text = "\n   ".join(_said_of(module.__name__, name))
    return f".. data:: {name}\n\n   {text}"


def _said_of(package: str, name: str) -> list[str]:
    """Return the text below a name, in the module that defines it."""
    inside = getattr(import_module(package), "__path__", [])
    for module in [package, *(part.name for part in pkgutil.iter_modules(inside, f"{package}."))]:
        texts = ModuleAnalyzer.for_module(module).find_attr_docs()
        if ("", name) in texts:
            return to_rst("\n".join(texts["", name])).splitlines()
    return []
