"""What an exported file says about itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from distill._version import __version__
from distill.contract import DataSpec
from distill.distributions import Logistic, Normal
from distill.models import Flow

FORMAT = "distill.sampler.1"
BASES = {"normal": Normal, "logistic": Logistic}


@dataclass(frozen=True)
class Metadata:
    """What a loader must know of a sampler, written into its file as JSON.

    Arguments:
        spec: Sites, features (names, kinds, sizes), sample rate, hop.
        base: Distribution of the noise: `normal` or `logistic`.
        dtype: Of noise, samples and float features: `float32` or `float64`.
        weights: SHA-256 of the model's state.
        package: Version of this package that wrote it.
        torch: Version of torch that wrote it.
        format: Which contract the graph follows.
    """

    spec: DataSpec
    base: str
    dtype: str
    weights: str
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
            metadata = cls(**{**values, "spec": DataSpec.from_dict(values["spec"])})
            known = metadata.base in BASES and metadata.dtype in ("float32", "float64")
        except (ValueError, TypeError, KeyError) as error:
            raise foreign(path, f"its metadata is not readable ({error})") from None
        if metadata.format != FORMAT or not known:
            raise foreign(path, f"its format is {metadata.format!r}, this version reads {FORMAT!r}")
        return metadata


def describe(model: Flow) -> Metadata:
    """Return the metadata of a model.

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
    return Metadata(model.spec, name, dtype, digest(model.state_dict()))


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


def foreign(path: str | Path, why: str) -> ValueError:
    """Return the error of a file that is no exported sampler."""
    return ValueError(
        f"{path}: not an exported sampler of this package: {why}. Write it again with "
        "`distill export`."
    )
