"""ONNX: a portable file, run by ONNX Runtime."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from distill.bijectors import State
from distill.export.backend import Backend
from distill.export.exported import Exported
from distill.export.graph import SamplingGraph
from distill.export.metadata import METADATA, Metadata, foreign
from distill.export.onnx_check import check_onnx, name_axes, sealed
from distill.export.quiet import quiet

OPSET = 18
"""What torch writes without conversion; every ONNX Runtime since 1.14 reads it."""
_OPSETS = range(18, 24)
_SCOPES = "pkg.torch.onnx.name_scopes"
_PLACE = re.compile(r"/\S*onnxruntime\S* [^()]*\([^()]*\)( const)? ")  # where in its source


class ONNX(Backend):
    """Write and read ONNX files.

    Inputs are named `noise`, after the features, and `state.*`; outputs `x`, `log_prob` and
    `next.*`, the state of the next chunk, or, before a filter, `excitation`, `log_prob`, `next.*`
    and `autocorrelation`. Their axes are called `batch`, `frames` and `samples`; a node's name
    starts with the module that it comes from. The metadata lies in the model's `metadata_props`
    under `distill`, as JSON: see `Metadata`; under `distill.sha256` lies the SHA-256 of the file
    with zeros in its place.

    Arguments:
        opset: Version of the operator set, 18 to 23. ONNX Runtime reads 21 from its version 1.20
            on, the oldest that this package works with, and 23 from 1.23 on.
        threads: Threads of the runtime; as many as torch uses by default.

    Errors:
        ValueError: Another opset; when loading, one that this runtime does not read.
    """

    name = "onnx"
    suffix = ".onnx"

    def __init__(self, opset: int = OPSET, threads: int | None = None) -> None:
        if opset not in _OPSETS:
            raise ValueError(
                f"export.opset: wanted {_OPSETS[0]} to {_OPSETS[-1]}, got {opset}. Leave it at "
                f"{OPSET} unless your runtime is known to read another."
            )
        self.opset = opset
        self.threads = threads

    def save(self, graph: SamplingGraph, path: Path) -> None:
        """Write an `.onnx` with its weights inside."""
        metadata = graph.metadata
        with quiet():
            program = torch.onnx.export(
                graph.trace(),
                input_names=[
                    "noise",
                    *metadata.spec.features,
                    *(state.name for state in metadata.graph_state),
                ],
                output_names=metadata.outputs,
                opset_version=self.opset,
                external_data=False,
                verbose=False,
            )
        assert program is not None
        for node in program.model.graph.all_nodes():
            node.name = f"{_module_of(node.metadata_props)}/{node.name}"
            node.metadata_props.clear()
        program.model.metadata_props[METADATA] = metadata.to_json()
        proto = program.model_proto
        (written,) = (entry.version for entry in proto.opset_import if not entry.domain)
        if written != self.opset:
            raise ValueError(
                f"export.opset: wanted {self.opset}, and torch could only write {written} of this "
                f"model. Use opset={written}."
            )
        name_axes(proto, metadata)
        path.write_bytes(sealed(proto))

    def load(self, path: str | Path) -> Exported:
        """Read an `.onnx` that `write` wrote."""
        content = Path(path).read_bytes()
        properties = check_onnx(content, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads or torch.get_num_threads()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            why = _PLACE.sub("", " ".join(str(error).split()))[:300]
            raise ValueError(
                f"{path}: ONNX Runtime {onnxruntime.__version__} refuses it: {why}. Export it "
                f"again with opset={OPSET}, or install a newer onnxruntime."
            ) from None
        if METADATA not in properties:
            raise foreign(path, "it carries no metadata of this package")
        metadata = Metadata.from_json(properties[METADATA], path)
        inputs, outputs = (
            [node.name for node in nodes()] for nodes in (session.get_inputs, session.get_outputs)
        )
        states = [state.name for state in metadata.graph_state]
        known = {"noise", *metadata.spec.features, *states}
        if not set(inputs) <= known or outputs != metadata.outputs:
            raise foreign(path, f"its inputs are {', '.join(sorted(inputs))}")

        def run(
            noise: Tensor, features: dict[str, Tensor], state: State
        ) -> tuple[Tensor, Tensor, State]:
            given = {"noise": noise, **features, **dict(zip(states, state, strict=True))}
            # A feature that the graph does not use is no input of it.
            arrays = {name: given[name].numpy() for name in inputs}
            x, log_prob, *after = map(torch.from_numpy, session.run(outputs, arrays))
            return x, log_prob, tuple(after)

        return Exported(metadata, run, path)


def _module_of(properties: Mapping[str, str]) -> str:
    """Return the path of the module that a node was traced in, `model.encoder.envelope` say."""
    scopes = ast.literal_eval(properties.get(_SCOPES, "[]"))  # each module's, then the node's own
    return next((str(scope) for scope in reversed(scopes[:-1]) if scope), "model")
