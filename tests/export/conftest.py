"""Exports of signals are slow to write: each is written once for all tests and processes."""

from __future__ import annotations

import os
import pickle
from functools import cache

import pytest
from filelock import FileLock

from distill.export import accept
from tests.export.students import BACKENDS, CASES


@pytest.fixture(scope="session")
def signals(tmp_path_factory: pytest.TempPathFactory):
    """Return the model, the file and the report of `backend-case`."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "signals"
    folder.mkdir(exist_ok=True)

    @cache
    def file_of(name: str):
        backend, _, case = name.partition("-")
        flow, made = CASES[case](), folder / f"{name}.pickle"
        with FileLock(f"{made}.lock"):
            if not made.exists():
                written = accept(BACKENDS[backend](), flow, folder / name, config={"layers": 3})
                made.write_bytes(pickle.dumps(written))
        return flow, *pickle.loads(made.read_bytes())

    return file_of
