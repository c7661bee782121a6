"""An ONNX file seen as data: the names of its axes, and whether it stands by itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distill.export.metadata import Metadata, foreign
from distill.export.sidecar import signature

SEAL = "distill.sha256"
"""The key of the file's digest."""
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.ms.internal.nhwc"}
_BLANK = b"0" * 64


def sealed(model: Any) -> bytes:
    """Return a model as bytes that hold their own SHA-256, taken with zeros in its place."""
    model.metadata_props.add(key=SEAL, value=_BLANK.decode())
    content = model.SerializeToString()
    before, found, after = content.rpartition(_BLANK)
    assert found
    return before + hashlib.sha256(content).hexdigest().encode() + after


def check_onnx(content: bytes, path: str | Path) -> dict[str, str]:
    """Return what a file says under its keys, unless it would do harm or is damaged.

    A file without a digest, which earlier versions wrote, is taken as it is.

    Errors:
        ValueError: Weights in another file, foreign operators, another digest than the file's, or
            no ONNX at all.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(content)
    except Exception:
        raise foreign(path, "it is truncated, or no ONNX file") from None
    if not model.HasField("graph"):
        raise foreign(path, "it is truncated, or no ONNX file")
    odd = {entry.domain for entry in model.opset_import} - _DOMAINS
    if odd:
        raise foreign(path, f"it wants operators of {', '.join(sorted(odd))[:80]}")
    for tensor in _tensors([model.graph, *model.functions]):
        if tensor.external_data or tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise foreign(path, f"its weight {tensor.name[:40]!r} lies in another file")
    try:
        properties = {entry.key: entry.value for entry in model.metadata_props}
    except UnicodeDecodeError:
        raise foreign(path, "its metadata is not readable (no UTF-8)") from None
    if SEAL in properties and not _is_whole(content, str(properties[SEAL]).encode()):
        raise foreign(path, "it is damaged, or was changed since it was written")
    return properties


def _is_whole(content: bytes, digest: bytes) -> bool:
    """Whether a file is the one that its digest is of."""
    before, _, after = content.rpartition(digest)
    total = hashlib.sha256(before)
    for part in (_BLANK, after):
        total.update(part)
    return total.hexdigest().encode() == digest


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


def name_axes(model: Any, metadata: Metadata) -> None:
    """Call the axes of a model `batch`, `frames` and `samples`, where torch numbered them."""
    ends = signature(metadata)
    every = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    noise = next(value for value in every if value.name == "noise")
    batch, *rest = (axis.dim_param for axis in noise.type.tensor_type.shape.dim)
    symbols = {batch: "batch"}
    if rest and rest[0]:
        symbols[re.sub(r"^\d+\*", "", rest[0])] = "frames"
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, symbols))})\b")
    for value in every:
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_param = pattern.sub(lambda found: symbols[found[0]], axis.dim_param)
    known = {**ends["inputs"], **ends["outputs"]}
    for value in (*model.graph.input, *model.graph.output):
        axes = value.type.tensor_type.shape.dim
        for axis, name in zip(axes, known[value.name][1], strict=True):
            if isinstance(name, str):
                axis.dim_param = name
