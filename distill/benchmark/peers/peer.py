"""The contract of another library's sampler that takes part in a comparison."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import ClassVar

from distill.benchmark.inputs import Inputs
from distill.benchmark.race import Contestant
from distill.benchmark.row import Row
from distill.models import Density


class Peer:
    """A library of the package index that samples what a teacher's kind of data is.

    Its models have random weights: how long a sampler takes does not depend on them.

    Attributes:
        package: Its name in the package index.
        backend: What is sampled.
        modules: What is used of it.
    """

    package: ClassVar[str]
    backend: ClassVar[str]
    modules: ClassVar[tuple[str, ...]]

    def entries(self, teacher: Density, inputs: Inputs) -> list[Contestant | Row]:
        """Return its contestants; where the library is missing or has none, a row that says so."""
        try:
            for module in self.modules:
                import_module(module)
            told = f"{self.package} {version(self.package)}"
        except ImportError as error:
            missing = f"{error}. Install it with pip install 'distill[bench]'"
            return [Row(self.package, self.backend, note=missing)]
        refused = self.refuses(teacher)
        if refused is not None:
            return [Row(self.package, self.backend, note=refused)]
        return [self.contestant(teacher, inputs, told)]

    def refuses(self, teacher: Density) -> str | None:
        """Say why the library has nothing to compare with a teacher, or `None`."""
        raise NotImplementedError(f"{type(self).__name__} does not define refuses.")

    def contestant(self, teacher: Density, inputs: Inputs, told: str) -> Contestant:
        """Return its sampler of the same data.

        Arguments:
            teacher: Whose sizes, device and precision it takes over where it can.
            inputs: What to draw.
            told: The library and its version, for the note.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define contestant.")
