"""What an exported file says about itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from distill._version import __version__
from distill.bijectors import LinearPrediction
from distill.contract import DataSpec
from distill.distributions import Logistic, Normal
from distill.models import Flow

METADATA = "distill"
FILTER = "state.filter"
"""The key under which an ONNX file carries it."""
FORMAT = "distill.sampler.4"
BASES = {"normal": Normal, "logistic": Logistic}
PRECISIONS = ("full", "bfloat16", "int8")


@dataclass(frozen=True)
class StateSpec:
    """One tensor that a chunk hands to the next; the graph gives it back as `next.` and its name.

    Arguments:
        name: Of the graph's input, `state.` and what it holds.
        shape: Without the batch, which comes first.
        dtype: `float32` or `float64`.
        fill: What it holds before the first chunk: `zeros`, or `frames`: the first frames (those
            of look-ahead, and one at least), all features at frame rate side by side; or `filter`:
            zeros, the last samples, which the loader's filter keeps and the graph never sees.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    fill: str = "zeros"

    @property
    def after(self) -> str:
        """Name of the graph's output."""
        return "next" + self.name.removeprefix("state")


@dataclass(frozen=True)
class Metadata:
    """What a loader must know of a sampler, written into its file as JSON.

    Arguments:
        spec: Sites, features (names, kinds, sizes: a mel's bands), sample rate, hop.
        base: Distribution of the noise: `normal` or `logistic`.
        dtype: Of noise, samples and float features: `float32` or `float64`.
        weights: SHA-256 of the model's state.
        latency: Frames of look-ahead: samples of frame f need the frames up to f + latency.
        reach: Frames before f that its samples depend on by the encoder.
        state: The tensors between chunks; none where values have a fixed number of sites.
        filter_order: p, where the graph gives the excitation e of a filter, and each frame's
            autocorrelation r. The loader solves `r[|k - 1|] a[1] + ... + r[|k - p|] a[p] = r[k]`,
            takes `g^2 = r[0] - a[1] r[1] - ... - a[p] r[p]`, and computes
            `x[t] = g e[t] + a[1] x[t - 1] + ... + a[p] x[t - p]`; 0 where the graph gives x.
        precision: `full`, or what its matrix products are reduced to: `bfloat16`, `int8`.
        config: What the model is built from, where it was known.
        config_hash: SHA-256 of it.
        cpu: Instruction sets that compiled code needs.
        package: Version of this package that wrote it.
        torch: Version of torch that wrote it.
        format: Which contract the graph follows.
    """

    spec: DataSpec
    base: str
    dtype: str
    weights: str
    latency: int = 0
    reach: int = 0
    state: tuple[StateSpec, ...] = ()
    filter_order: int = 0
    precision: str = "full"
    config: dict[str, Any] | None = field(default=None, compare=False)
    config_hash: str | None = None
    cpu: tuple[str, ...] = ()
    package: str = __version__
    torch: str = torch.__version__
    format: str = FORMAT

    def to_json(self) -> str:
        """Return one JSON object."""
        return json.dumps({**asdict(self), "spec": self.spec.to_dict()})

    @classmethod
    def from_json(cls, text: str | bytes, path: str | Path) -> Metadata:
        """Read what `to_json` wrote.

        Errors:
            ValueError: Not such an object, or one of another format.
        """
        try:
            values = json.loads(text)
            if values.get("format") != FORMAT:
                why = f"its format is {values.get('format')!r}, this version reads {FORMAT!r}"
                raise foreign(path, why)
            values["spec"] = DataSpec.from_dict(values["spec"])
            values["cpu"] = tuple(map(str, values["cpu"]))
            values["state"] = tuple(
                StateSpec(**{**state, "shape": tuple(map(int, state["shape"]))})
                for state in values["state"]
            )
            metadata = cls(**values)
        except (
            TypeError,
            KeyError,
            AttributeError,
            json.JSONDecodeError,
            UnicodeDecodeError,
            RecursionError,
        ) as error:
            raise foreign(path, f"its metadata is not readable ({error})") from None
        floats = {metadata.dtype, *(state.dtype for state in metadata.state)}
        known = metadata.base in BASES and metadata.precision in PRECISIONS
        if not known or not floats <= {"float32", "float64"}:
            raise foreign(path, "its metadata names another base, dtype or precision")
        return metadata

    @property
    def streams(self) -> bool:
        """Whether values have no fixed length and are drawn in chunks."""
        return self.spec.sites is None

    @cached_property
    def frames(self) -> dict[str, int]:
        """Features at frame rate, with their channels, in the order in which they are joined."""
        features = self.spec.features.items()
        return {name: f.size for name, f in features if f.kind == "frames"}

    @property
    def graph_state(self) -> tuple[StateSpec, ...]:
        """The state that goes through the graph."""
        return tuple(state for state in self.state if state.name != FILTER)

    @property
    def outputs(self) -> list[str]:
        """Names of the graph's outputs, in order."""
        after = [state.after for state in self.graph_state]
        if not self.filter_order:
            return ["x", "log_prob", *after]
        return ["excitation", "log_prob", *after, "autocorrelation"]

    @cached_property
    def optional(self) -> tuple[str, ...]:
        """Features that may be left out: the graph estimates them where they are NaN."""
        return tuple(name for name, f in self.spec.features.items() if f.optional)


def describe(model: Flow) -> Metadata:
    """Return the metadata of a model, the state's layout left out.

    Errors:
        ValueError: A base whose noise a loader could not draw.
    """
    name = next((name for name, kind in BASES.items() if type(model.base) is kind), None)
    if name is None:
        raise ValueError(
            f"export: wanted a base among {', '.join(BASES)}, got {type(model.base).__name__}. "
            "Export a flow with a fixed base."
        )
    dtype = str(dtype_of(model)).removeprefix("torch.")
    latency, reach = (int(getattr(model.encoder, name, 0)) for name in ("latency", "reach"))
    weights = digest(model.state_dict())
    order = model.outer.order if isinstance(model.outer, LinearPrediction) else 0
    return Metadata(model.spec, name, dtype, weights, latency, reach, filter_order=order)


def dtype_of(model: Flow) -> torch.dtype:
    """Return the precision that a model computes in."""
    tensors = [*model.parameters(), *model.buffers()]
    return next((t.dtype for t in tensors if t.is_floating_point()), torch.get_default_dtype())


def digest(state: Mapping[str, Any]) -> str:
    """Return the SHA-256 of names and values of a state."""
    total = hashlib.sha256()
    for name, value in sorted(state.items()):
        total.update(name.encode())
        if isinstance(value, torch.Tensor):
            total.update(f"{value.dtype}{tuple(value.shape)}".encode())
            total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def config_digest(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a config, whatever the order of its entries."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def foreign(path: str | Path, why: str) -> ValueError:
    """Return the error of a file that is no exported sampler."""
    return ValueError(
        f"{path}: not an exported sampler of this package: {why}. Write it again with "
        "`distill export`."
    )
