"""Where `distill sample` writes: a table of values, or a folder of sounds."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from distill.contract import DataSpec
from distill.files import atomic_write
from distill.stages.manifest import NAME as MANIFEST
from distill.stages.manifest import read_manifest


class Output:
    """Takes what was drawn, by name.

    Arguments:
        path: File or folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def files(self, names: Sequence[str]) -> list[Path]:
        """Return the files that these results will go to."""
        raise NotImplementedError(f"{type(self).__name__} does not define files.")

    def write(self, name: str, x: Tensor) -> Path:
        """Write values `(B, T)` and return the file."""
        raise NotImplementedError(f"{type(self).__name__} does not define write.")

    def key(self, file: Path) -> str:
        """Return by what name the record knows a file."""
        return file.relative_to(self.record.parent).as_posix()

    @property
    def record(self) -> Path:
        """Where it is written what the files were made from."""
        return self.path.with_name(f"{self.path.name}.{MANIFEST}")

    def claim(self, names: Sequence[str], overwrite: bool) -> None:
        """Make sure that nothing is lost, before anything is drawn.

        Errors:
            FileExistsError: A file exists, and `overwrite` is not set; the record is another's.
        """
        record = read_manifest(self.record.parent, self.record.name)
        if self.record.exists() and (record is None or record.stage != "sample"):
            raise FileExistsError(
                f"{self.record}: is not of `distill sample`, which would replace it. Name another "
                "output=."
            )
        files = self.files(names)
        assert len(set(files)) == len(files), "two results for one file"
        for file in files:
            if file.exists() and not overwrite:
                raise FileExistsError(
                    f"{file}: exists. Name another output=, or set overwrite=true."
                )


class TableOutput(Output):
    """All values in one .npy or .csv file, a row each.

    Arguments:
        path: The file.
        columns: Names for the header of a .csv file.

    Errors:
        ValueError: Another suffix.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None) -> None:
        super().__init__(path)
        self.columns = columns
        if path.suffix.lower() not in (".npy", ".csv"):
            raise ValueError(f"output: wanted a .npy or .csv file, got {str(path)!r}.")

    def files(self, names: Sequence[str]) -> list[Path]:
        """Return the one file."""
        return [self.path]

    def write(self, name: str, x: Tensor) -> Path:
        """Write the table.

        Errors:
            ValueError: Values are not finite.
        """
        _check_finite(name, x)
        with atomic_write(self.path) as draft:
            if self.path.suffix.lower() == ".npy":
                with draft.open("wb") as file:  # np.save adds a suffix to names like a.NPY
                    np.save(file, x.numpy())
            else:
                self._write_text(draft, x.numpy())
        return self.path

    def _write_text(self, draft: Path, values: np.ndarray) -> None:
        with draft.open("w", encoding="utf-8", newline="") as file:
            if self.columns:
                csv.writer(file, lineterminator="\n").writerow(self.columns)
            np.savetxt(file, values, delimiter=",", fmt="%.8g")


class SoundsOutput(Output):
    """A 16-bit wav file for each result, in one folder.

    Arguments:
        path: The folder.
        rate: Sites per second.

    Errors:
        ValueError: The path is a file, or looks like one.
    """

    def __init__(self, path: Path, rate: int) -> None:
        super().__init__(path)
        if path.is_file() or path.suffix.lower() in (".wav", ".npy", ".csv"):
            raise ValueError(
                f"output: wanted a folder for wav files, got {str(path)!r}. Name its folder."
            )
        self.rate = rate

    @property
    def record(self) -> Path:
        """The manifest of the folder."""
        return self.path / MANIFEST

    def files(self, names: Sequence[str]) -> list[Path]:
        """Return a file for each name; names may hold folders."""
        return [self.path / f"{name}.wav" for name in names]

    def write(self, name: str, x: Tensor) -> Path:
        """Write one sound.

        Errors:
            ValueError: It is not finite.
        """
        import soundfile

        _check_finite(name, x)
        (file,) = self.files([name])
        with atomic_write(file) as draft:
            soundfile.write(draft, x[0].clamp(-1, 1).numpy(), self.rate, subtype="PCM_16")
        return file


def _check_finite(name: str, x: Tensor) -> None:
    if not x.isfinite().all():
        count = int((~x.isfinite()).any(1).sum())
        raise ValueError(
            f"{name}: of the {len(x)} values that the model drew {count} are not finite. Lower the "
            "temperature, check the input, or train it longer."
        )


def output_for(spec: DataSpec, given: str | None, folder: Path, role: str) -> Output:
    """Choose where values of a spec go: signals into a folder, others into a table.

    Arguments:
        spec: What the model knows of its data.
        given: The path that was asked for, if any.
        folder: Where to write without one, under the name of the role.
        role: `teacher` or `student`.
    """
    if spec.sites is None and spec.sample_rate is not None:
        return SoundsOutput(Path(given or folder / role).expanduser(), spec.sample_rate)
    columns = spec.settings.get("columns")
    return TableOutput(Path(given or folder / f"{role}.npy").expanduser(), columns)
