"""ONNX: a portable file, run by ONNX Runtime."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from distill.export.backend import Backend
from distill.export.exported import Exported
from distill.export.graph import SamplingGraph
from distill.export.metadata import Metadata, foreign
from distill.models import Flow

_METADATA = "distill"
_OUTPUTS = ["x", "log_prob"]


class ONNX(Backend):
    """Write and read ONNX files.

    Inputs are named `noise` and after the features, outputs `x` and `log_prob`; the metadata lies
    in the model's `metadata_props` under `distill`.

    Arguments:
        opset: Version of the operator set.
        threads: Threads of the runtime; as many as torch uses by default.
    """

    name = "onnx"
    suffix = ".onnx"

    def __init__(self, opset: int = 23, threads: int | None = None) -> None:
        self.opset = opset
        self.threads = threads

    def write(self, model: Flow, path: str | Path) -> Path:
        """Write an `.onnx` with its weights inside."""
        path = Path(path)
        graph = SamplingGraph(model)
        with _quiet():
            program = torch.onnx.export(
                graph.trace(),
                input_names=["noise", *graph.metadata.spec.features],
                output_names=_OUTPUTS,
                opset_version=self.opset,
                external_data=False,
                verbose=False,
            )
        assert program is not None
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()
        program.model.metadata_props[_METADATA] = graph.metadata.to_json()
        draft = path.with_name(path.name + ".part")
        program.save(draft, external_data=False)
        return draft.replace(path)

    def load(self, path: str | Path) -> Exported:
        """Read an `.onnx` that `write` wrote."""
        content = Path(path).read_bytes()
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
        if _METADATA not in properties:
            raise foreign(path, "it carries no metadata of this package")
        metadata = Metadata.from_json(properties[_METADATA], path)
        inputs = {node.name for node in session.get_inputs()}
        outputs = [node.name for node in session.get_outputs()]
        if not inputs <= {"noise", *metadata.spec.features} or outputs != _OUTPUTS:
            raise foreign(path, f"its inputs are {', '.join(sorted(inputs))}")

        def run(noise: Tensor, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
            given = {"noise": noise, **features}
            # A feature that the graph does not use is no input of it.
            arrays = {k: v.detach().numpy() for k, v in given.items() if k in inputs}
            x, log_prob = session.run(_OUTPUTS, arrays)
            return torch.from_numpy(x), torch.from_numpy(log_prob)

        return Exported(metadata, run, path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress and its remarks on other packages off the screen."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
