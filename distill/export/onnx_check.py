"""Whether an ONNX file stands by itself, looked at before any runtime reads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill.export.metadata import foreign

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.ms.internal.nhwc"}


def check_onnx(content: bytes, path: str | Path) -> None:
    """Refuse a file that would read other files, or wants operators of a foreign library.

    Errors:
        ValueError: Weights in another file, foreign operators, or no ONNX at all.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception:
        raise foreign(path, "it is truncated, or no ONNX file") from None
    odd = {entry.domain for entry in model.opset_import} - _DOMAINS
    if odd:
        raise foreign(path, f"it wants operators of {', '.join(sorted(odd))[:80]}")
    for tensor in _tensors([model.graph, *model.functions]):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise foreign(path, f"its weight {tensor.name[:40]!r} lies in another file")


def _tensors(graphs: Any) -> Iterator[Any]:
    """Go through every constant of graphs and functions, and of the graphs inside their nodes."""
    for graph in graphs:
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)
                inner = [attribute.g] if attribute.HasField("g") else []
                yield from _tensors([*inner, *attribute.graphs])
