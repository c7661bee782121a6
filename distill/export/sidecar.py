"""What a loader in any language must know of an exported file, as plain JSON beside it."""

from __future__ import annotations

from typing import Any

from distill.export.metadata import FILTER, Metadata
from distill.export.verify import Verification

Axis = str | int
End = tuple[str, tuple[Axis, ...]]
"""A dtype, and the axes."""


def signature(metadata: Metadata) -> dict[str, dict[str, End]]:
    """Return the dtype and the axes of a graph's inputs and outputs, by name and in order.

    Axes of any length are called `batch`, `frames` and `samples`; there are `hop` samples a frame.

    Example:
        >>> from distill.contract import DataSpec
        >>> metadata = Metadata(DataSpec(sites=2), "normal", "float32", "0" * 64)
        >>> signature(metadata)["outputs"]["x"]
        ('float32', ('batch', 2))
    """
    spec, dtype = metadata.spec, metadata.dtype
    sites: End = (dtype, ("batch", "samples" if spec.sites is None else spec.sites))
    inputs: dict[str, End] = {"noise": sites}
    for name, feature in spec.features.items():
        if feature.kind == "label":
            inputs[name] = ("int64", ("batch",))
        else:
            between = ["frames"] if feature.kind == "frames" else []
            inputs[name] = (dtype, ("batch", *between, feature.size))
    outputs: dict[str, End] = dict.fromkeys(metadata.outputs[:2], sites)
    for state in metadata.graph_state:
        end: End = (state.dtype, ("batch", *state.shape))
        inputs[state.name] = outputs[state.after] = end
    if metadata.filter_order:
        outputs["autocorrelation"] = ("float64", ("batch", "frames", metadata.filter_order + 1))
    return {"inputs": inputs, "outputs": outputs}


def sidecar(file: str, metadata: Metadata, report: Verification) -> dict[str, Any]:
    """Return everything that a loader of a file needs, and what was found of it.

    Arguments:
        file: The file's name.
        metadata: What the file says of itself.
        report: How it compares with its model.
    """
    ends = {
        side: [{"name": name, "dtype": dtype, "axes": list(axes)} for name, (dtype, axes) in of]
        for side, of in ((side, named.items()) for side, named in signature(metadata).items())
    }
    spec = metadata.spec
    sampler = {"normal": "standard_normal", "logistic": "logistic"}[metadata.base]
    return {
        "file": file,
        "format": metadata.format,
        "sample_rate": spec.sample_rate,
        "hop": spec.hop,
        "sites": spec.sites,
        "base": metadata.base,
        "dtype": metadata.dtype,
        "precision": metadata.precision,
        "latency": metadata.latency,
        "reach": metadata.reach,
        "filter_order": metadata.filter_order,
        "filter": _filter(metadata),
        "noise": {
            "base": metadata.base,
            "generator": "Philox 4x64-10, seeded by NumPy's SeedSequence(seed)",
            "numpy": f"numpy.random.Generator(numpy.random.Philox(seed)).{sampler}(size=samples)",
            "dtype": metadata.dtype,
            "temperature": "a factor of the noise",
        },
        "optional": list(metadata.optional),
        **ends,
        "state": [
            {
                "name": state.name,
                "after": state.after,
                "dtype": state.dtype,
                "shape": list(state.shape),
                "fill": state.fill,
            }
            for state in metadata.state
        ],
        "features": {
            name: {"kind": feature.kind, "size": feature.size}
            for name, feature in spec.features.items()
        },
        "settings": spec.settings,
        "weights": metadata.weights,
        "package": metadata.package,
        "verification": report.to_dict(),
    }


def _filter(metadata: Metadata) -> dict[str, Any] | None:
    """Return how a loader turns the excitation into samples, where it has to."""
    if not metadata.filter_order:
        return None
    return {
        "order": metadata.filter_order,
        "solve": "for each frame, with r its autocorrelation, the coefficients a by sum over "
        "j = 1..order of r[|k - j|] * a[j] = r[k], k = 1..order (Levinson's recursion)",
        "gain": "the root of r[0] - sum over k = 1..order of a[k] * r[k]",
        "equation": "x[t] = gain * excitation[t] + sum over k = 1..order of a[k] * x[t - k], "
        "with a and gain of frame t // hop",
        "log_prob": "the graph's is that of the excitation; that of x is log(gain) less",
        "dtype": "float64",
        "state": FILTER,
        "state_holds": "the last order samples x, oldest first; zeros at the beginning",
    }
