"""ONNX: a portable file, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from distill.bijectors import State
from distill.export.backend import Backend
from distill.export.exported import Exported
from distill.export.graph import SamplingGraph
from distill.export.metadata import METADATA, Metadata, foreign
from distill.export.onnx_check import check_onnx
from distill.export.quiet import quiet


class ONNX(Backend):
    """Write and read ONNX files.

    Inputs are named `noise`, after the features, and `state.*`; outputs `x`, `log_prob` and
    `next.*`, the state of the next chunk. The metadata lies in the model's `metadata_props` under
    `distill`, as JSON: see `Metadata`.

    Arguments:
        opset: Version of the operator set.
        threads: Threads of the runtime; as many as torch uses by default.
    """

    name = "onnx"
    suffix = ".onnx"

    def __init__(self, opset: int = 23, threads: int | None = None) -> None:
        self.opset = opset
        self.threads = threads

    def save(self, graph: SamplingGraph, path: Path) -> None:
        """Write an `.onnx` with its weights inside."""
        metadata = graph.metadata
        with quiet():
            program = torch.onnx.export(
                graph.trace(),
                input_names=["noise", *metadata.spec.features, *(s.name for s in metadata.state)],
                output_names=_outputs(metadata),
                opset_version=self.opset,
                external_data=False,
                verbose=False,
            )
        assert program is not None
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()
        program.model.metadata_props[METADATA] = metadata.to_json()
        program.save(path, external_data=False)

    def load(self, path: str | Path) -> Exported:
        """Read an `.onnx` that `write` wrote."""
        content = Path(path).read_bytes()
        check_onnx(content, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads or torch.get_num_threads()
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            why = " ".join(str(error).split())[:120]
            raise foreign(path, f"ONNX Runtime can't read it ({why})") from None
        properties = session.get_modelmeta().custom_metadata_map
        if METADATA not in properties:
            raise foreign(path, "it carries no metadata of this package")
        metadata = Metadata.from_json(properties[METADATA], path)
        inputs, outputs = (
            [node.name for node in nodes()] for nodes in (session.get_inputs, session.get_outputs)
        )
        states = [state.name for state in metadata.state]
        known = {"noise", *metadata.spec.features, *states}
        if not set(inputs) <= known or outputs != _outputs(metadata):
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


def _outputs(metadata: Metadata) -> list[str]:
    return ["x", "log_prob", *(state.after for state in metadata.state)]
