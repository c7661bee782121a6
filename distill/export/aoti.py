"""AOTInductor: a model compiled for this machine, run by torch without Python in between."""

from __future__ import annotations

import io
import json
import platform
import re
import shutil
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from distill.bijectors import State
from distill.export.bfloat16 import WithBFloat16
from distill.export.exported import Exported
from distill.export.graph import SamplingGraph
from distill.export.metadata import Metadata, foreign
from distill.export.quiet import quiet

_EXTRA = "extra/distill.json"
_MEMBERS = re.compile(
    r"data/aotinductor/model/\w+\.wrapper(\.so|\.cpp|_metadata\.json)"
    r"|extra/distill\.json|archive_format|archive_version|byteorder|\.data/\w+"
)
_ISA = re.compile(
    r"(avx|sse|ssse|fma|f16c|bmi|amx|abm|popcnt|movbe|adx|vaes|gfni|neon|asimd|sve)\w*"
)


class AOTI(WithBFloat16):
    """Write and read AOTInductor packages: compiled code for one torch and one kind of CPU.

    Writing needs a C++ compiler and takes minutes for a deep model; loading takes milliseconds.
    The compiled code trusts its inputs: it reads a tensor that is not contiguous, or of another
    dtype or length, as garbage without a word. So `Exported` checks all of that before each call.

    Loading runs the machine code in the file. Load only files that you trust.

    Arguments:
        precision: `full`, or `bfloat16` for the matrix products of WaveNet layers.
        decibels: With `bfloat16`: least ratio of the samples' power to their error's.

    Errors:
        ValueError: No C++ compiler; when loading, a file for another torch or CPU.
    """

    name = "aoti"
    suffix = ".aoti.pt2"

    def save(self, graph: SamplingGraph, path: Path) -> None:
        """Compile a package, and keep of it what a loader needs."""
        graph = self.reduced(graph)
        compiler = _compiler()
        if compiler is None:
            raise ValueError(
                "export=aoti: wanted a C++ compiler (g++, or the one that CXX names), found none. "
                "Install one, or export to onnx, which needs none."
            )
        metadata = replace(graph.metadata, cpu=cpu())
        with tempfile.TemporaryDirectory() as folder:
            package = str(Path(folder) / "student.pt2")
            with torch.no_grad(), quiet():
                torch._inductor.aoti_compile_and_package(graph.trace(), package_path=package)
            with zipfile.ZipFile(package) as source, zipfile.ZipFile(path, "w") as target:
                for member in source.namelist():
                    name = "student/" + member.partition("/")[2]
                    if name.endswith(".wrapper.cpp"):  # The loader asks for its name only.
                        target.writestr(name, b"")
                    elif _MEMBERS.fullmatch(name.partition("/")[2]):
                        target.writestr(name, source.read(member))
                target.writestr(f"student/{_EXTRA}", metadata.to_json())

    def load(self, path: str | Path) -> Exported:
        """Read a package that `write` wrote on a machine like this one."""
        metadata = _inspect(Path(path))
        if metadata.torch != torch.__version__:
            raise ValueError(
                f"{path}: compiled by torch {metadata.torch}, this is torch {torch.__version__}. "
                "Export it again here, or use the .onnx file."
            )
        missing = sorted(set(metadata.cpu) - set(cpu()))
        if missing:
            raise ValueError(
                f"{path}: compiled for another CPU; this one lacks {', '.join(missing[:5])}. "
                "Export it again here, or use the .onnx file."
            )
        try:
            # The C++ loader itself: torch's Python around it would call the compiler first.
            loader = torch._C._aoti.AOTIModelPackageLoader(
                str(path), "model", False, max(1, torch.get_num_threads()), -1
            )
        except Exception as error:
            why = " ".join(str(error).split())[:120]
            raise foreign(path, f"torch can't load it ({why})") from None
        names = list(metadata.spec.features)

        @torch.no_grad()
        def run(
            noise: Tensor, features: dict[str, Tensor], state: State
        ) -> tuple[Tensor, Tensor, State]:
            x, log_prob, *after = loader.run([noise, *(features[n] for n in names), *state])
            return x, log_prob, tuple(after)

        return Exported(metadata, run, path)


def cpu() -> tuple[str, ...]:
    """Return the machine's kind, and the instruction sets that compiled code may use."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    flags = {flag for flag in line[1].split() if _ISA.fullmatch(flag)} if line else set()
    return (platform.machine(), *sorted(flags))


def _compiler() -> str | None:
    from torch._inductor import config

    named = config.cpp.cxx
    names = [named] if isinstance(named, str) else [name for name in named if name]
    return next(
        (found for name in (*names, "g++", "clang++") if (found := shutil.which(name))), None
    )


def _inspect(path: Path) -> Metadata:
    """Return the metadata of a package, before any of it is loaded."""
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.testzip() is not None:
                raise foreign(path, "it is damaged")
            parts = {name.partition("/")[2]: name for name in archive.namelist()}
            odd = [name for name in parts if not _MEMBERS.fullmatch(name)]
            if odd or _EXTRA not in parts or not any(name.endswith(".so") for name in parts):
                raise foreign(
                    path, f"unexpected parts: {', '.join(odd[:3]) or 'no compiled model'}"
                )
            return Metadata.from_json(archive.read(parts[_EXTRA]), path)
    except zipfile.BadZipFile:
        raise foreign(path, "it is truncated, or no package") from None
    except (OSError, RuntimeError, EOFError, json.JSONDecodeError) as error:
        raise foreign(path, " ".join(str(error).split())[:120]) from None
