"""Exports of signals are slow to write: each is written once for all tests."""

from __future__ import annotations

from functools import cache

import pytest

from distill.export import accept
from tests.export.students import BACKENDS, CASES


@pytest.fixture(scope="session")
def signals(tmp_path_factory: pytest.TempPathFactory):
    """Return the model, the file and the report of `backend-case`."""
    folder = tmp_path_factory.mktemp("signals")

    @cache
    def file_of(name: str):
        backend, _, case = name.partition("-")
        flow = CASES[case]()
        return flow, *accept(BACKENDS[backend](), flow, folder / name, config={"layers": 3})

    return file_of
