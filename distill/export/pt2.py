"""torch.export: a `.pt2` archive, run by torch without the code of the model."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.arrays import check_archive
from distill.bijectors import State
from distill.errors import one_line
from distill.export.bfloat16 import WithBFloat16
from distill.export.exported import Exported
from distill.export.graph import SamplingGraph
from distill.export.metadata import Metadata, foreign
from distill.export.operators import is_known_operator
from distill.export.quiet import quiet

_METADATA = "distill.json"
# What torch.export.save writes of a plain graph. Everything else could hold a pickle.
_MEMBERS = re.compile(
    r"models/model\.json|data/(weights|constants)/((weight|tensor)_\d+|model_\w+_config\.json)"
    r"|data/sample_inputs/model\.pt|extra/distill\.json"
    r"|archive_format|archive_version|byteorder|\.data/\w+"
)
# torch evaluates these. A name in capitals is a class of sympy: no function can be called.
_SYMBOL = re.compile(r"Symbol\('\w+'(, \w+=\w+)*\)")
_EXPRESSION = re.compile(r"([A-Z][A-Za-z]*\(|\w+(?![\w(])|[\s+*/(),<>=-])*")


class PT2(WithBFloat16):
    """Write and read torch.export archives.

    `torch.export.load` may unpickle parts of an archive, so `load` first refuses archives with any
    part or operator that this package does not write. It reads archives of its own torch only.

    Arguments:
        precision: `full`, or `bfloat16` for the matrix products of WaveNet layers.
        decibels: With `bfloat16`: least ratio of the samples' power to their error's for a file to
            be accepted.
    """

    name = "pt2"
    suffix = ".pt2"

    def save(self, graph: SamplingGraph, path: Path) -> None:
        """Write a `.pt2`."""
        graph = self.reduced(graph)
        # The archive names its inner folder after the stream; a stream has no name to keep.
        content = io.BytesIO()
        extra = {_METADATA: graph.metadata.to_json()}
        with quiet():
            torch.export.save(graph.trace(), content, extra_files=extra)
        path.write_bytes(content.getvalue())

    def load(self, path: str | Path) -> Exported:
        """Read a `.pt2` that `write` wrote."""
        content = Path(path).read_bytes()
        metadata = _inspect(content, path)
        if _minor(metadata.torch) != _minor(torch.__version__):
            raise ValueError(
                f"{path}: written by torch {metadata.torch}, this is torch {torch.__version__}. "
                "Export it again, or use the .onnx file."
            )
        try:
            with quiet():  # It shares the file's read-only memory; so do we.
                # Its function of guards can't run in two threads; what it guards is checked by us.
                module = torch.export.load(io.BytesIO(content)).module(check_guards=False)
        except Exception as error:
            why = one_line(error, 120).partition(" Please check the warnings above")[0]
            raise foreign(path, f"torch can't read it ({why})") from None

        @torch.no_grad()
        def run(
            noise: Tensor, features: dict[str, Tensor], state: State
        ) -> tuple[Tensor, Tensor, State]:
            x, log_prob, after = module(noise, features, state)
            return x, log_prob, after

        return Exported(metadata, run, path)


def _inspect(content: bytes, path: str | Path) -> Metadata:
    """Check every part of an archive without unpickling anything, and return its metadata."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            try:
                check_archive(archive, len(content))
            except ValueError as error:
                raise foreign(path, str(error)) from None
            if archive.testzip() is not None:
                raise foreign(path, "it is damaged")
            parts = {name.partition("/")[2]: name for name in archive.namelist()}
            odd = [name for name in parts if not _MEMBERS.fullmatch(name)]
            if odd or f"extra/{_METADATA}" not in parts or len(parts) != len(archive.namelist()):
                raise foreign(path, f"unexpected parts: {', '.join(odd) or 'no metadata'}")
            for name, member in parts.items():
                if name.endswith("config.json") or name == "models/model.json":
                    _check(json.loads(archive.read(member)), path)
            inputs = parts.get("data/sample_inputs/model.pt")
            if inputs:
                torch.load(io.BytesIO(archive.read(inputs)), weights_only=True)
            return Metadata.from_json(archive.read(parts[f"extra/{_METADATA}"]), path)
    except zipfile.BadZipFile:
        raise foreign(path, "it is truncated, or no .pt2 archive") from None
    except (OSError, RuntimeError, EOFError, json.JSONDecodeError) as error:
        raise foreign(path, one_line(error, 120)) from None
    except Exception as error:
        if isinstance(error, ValueError):
            raise
        raise foreign(path, f"it holds a pickle ({type(error).__name__})") from None


def _check(value: Any, path: str | Path) -> None:
    """Refuse pickled tensors, objects, operators that are not ours, and expressions with calls."""
    if isinstance(value, list):
        for item in value:
            _check(item, path)
    if not isinstance(value, dict):
        return
    if value.get("use_pickle") or str(value.get("path_name", "")).startswith("custom"):
        raise foreign(path, "it holds a pickle")
    target, expression = value.get("target"), value.get("expr_str")
    if "inputs" in value and target is not None and not is_known_operator(str(target)):
        raise foreign(path, f"it calls {str(target)[:80]}")
    for node in value["nodes"] if isinstance(value.get("nodes"), list) else []:
        if not isinstance(node, dict) or not isinstance(node.get("target"), str):
            raise foreign(path, "it holds a step without an operator")
        if not is_known_operator(node["target"]):
            raise foreign(path, f"it calls {node['target'][:80]}")
    plain = _SYMBOL.sub("0", expression) if isinstance(expression, str) else ""
    if "__" in plain or not _EXPRESSION.fullmatch(plain):
        raise foreign(path, f"it holds the expression {str(expression)[:80]!r}")
    for item in value.values():
        _check(item, path)


def _minor(version: str) -> list[str]:
    return version.split("+")[0].split(".")[:2]
