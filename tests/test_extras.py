"""What an installation without extras can do."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires

from distill.stages import STAGES

IMPORTS = """
import importlib, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
for stage in {stages}:
    importlib.import_module(f"distill.stages.{{stage}}")
"""


def modules_of_extras() -> list[str]:
    """Return the modules of the packages that extras alone bring."""
    name = re.compile(r"[\w.-]+")
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for line in requires("distill") or []:
        match = name.match(line)
        assert match is not None
        found["extra ==" in line].add(match[0].lower().replace("-", "_"))
    return sorted(found[True] - found[False])


def test_every_stage_is_imported_without_any_extra():
    missing = modules_of_extras()
    assert {"starlette", "prometheus_client", "ray"} <= set(missing)
    code = IMPORTS.format(missing=set(missing), stages=list(STAGES))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not done.returncode, done.stderr.splitlines()[-1]
