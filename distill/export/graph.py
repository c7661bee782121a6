"""The graph that every backend writes: noise, features and state in, samples and log-prob out."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from distill.bijectors import Autoregressive, Inverse, State
from distill.contract import FeatureSpec
from distill.export.inputs import first_state, lead_in
from distill.export.metadata import FILTER, Metadata, StateSpec, describe, dtype_of
from distill.models import Flow
from distill.models.flow import ChunkedEncoder
from distill.networks import Envelope
from distill.networks.masked_linear import mask_weights

EXAMPLE_BATCH = 2  # 0 and 1 would be taken for constants of the graph
EXAMPLE_FRAMES = 8
_BEGUN = StateSpec("state.begun", (1,), "float32")


class SamplingGraph(nn.Module):
    """A frozen copy of a flow's sampling direction: `(noise, features, state)` to three outputs.

    `x, log_prob, new_state = graph(noise, features, state)` draws one chunk of F frames. A whole
    value is the state of `start` and one long chunk; values with a fixed number of sites have no
    state. Noise is an input: backends then agree number by number, and one seed means one sample.

    Convolutions are plain matrix products and carry no weight norm; parametrizations of torch, if a
    model has any, are folded into their weights.

    Arguments:
        model: A flow that draws in parallel.

    Errors:
        ValueError: Not a flow, one that draws site after site, or one of signals that can't run in
            chunks.

    Example:
        >>> from distill.contract import DataSpec
        >>> from distill.models import wavenet_iaf
        >>> graph = SamplingGraph(wavenet_iaf(DataSpec(sites=None), flows=[2], cycle=2, channels=4))
        >>> [state.name for state in graph.metadata.state]
        ['state.flow0.sites', 'state.flow0.layer0', 'state.flow0.layer1']
    """

    def __init__(self, model: Flow) -> None:
        super().__init__()
        check_parallel(model)
        self.model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
        mask_weights(self.model)
        plain = describe(self.model)  # its weights as the model has them, not as they are folded
        _fold(self.model)
        mask_weights(self.model)  # what was folded, too
        self._encoded = 0
        encoder: object = self.model.encoder
        if plain.streams and isinstance(encoder, ChunkedEncoder):
            self._encoded = _encoder_states(self.model, plain)
        self.metadata = replace(plain, state=_layout(self.model, plain, self._encoded))
        check_names(self.metadata.spec.features)

    def forward(
        self, noise: Tensor, features: dict[str, Tensor], state: State
    ) -> tuple[Tensor, Tensor, State]:
        """Draw a chunk, and score what is drawn.

        Where the model ends in a filter, the first output is what goes into it, scored by itself,
        and behind the states stands the autocorrelation of each frame, whose predictor filters.
        Levinson's recursion, hundreds of tiny operations in a row, is left to the loader.
        """
        model: Flow = self.model
        lead, state = self._started(noise, features, state)
        if self.metadata.filter_order == 0:
            draw, after = model.run(state, noise, features or None)
            return draw.x, draw.log_prob, (*lead, *after)
        core = model.core
        split = len(state) - core.bijector.state_size
        with _unsolved(self.model):
            context, before = core.encode(state[:split], features)
        assert context is not None
        assert context.prediction is not None
        r = context.prediction.autocorrelation
        if r is None:
            raise ValueError(
                "export: wanted a prediction with the autocorrelation that it was found from, as "
                f"Envelope gives it; {type(core.encoder).__name__} gives none. Pass it on as "
                "Prediction(..., autocorrelation=r)."
            )
        e, log_det, own = core.bijector.run(state[split:], noise, context)
        log_prob = core.base.log_prob(noise) - log_det
        return e, log_prob, (*lead, *before, *own, r.contiguous())

    def _started(
        self, noise: Tensor, features: dict[str, Tensor], state: State
    ) -> tuple[State, State]:
        """Return the first frames, which every chunk hands on, and the model's own state.

        The first chunk makes the encoder's state from these frames, so that a loader need not.
        """
        if not self._encoded:
            return (), state
        frames, begun = state[:2]
        sizes = self.metadata.frames
        parts = frames.split(list(sizes.values()), -1)
        first = {**features, **dict(zip(sizes, parts, strict=True))}
        fresh = self.model.start(noise, first)[: self._encoded]
        going = [
            torch.where((begun > 0).view(-1, *[1] * (value.dim() - 1)), value, initial)
            for value, initial in zip(state[2 : 2 + self._encoded], fresh, strict=True)
        ]
        lead = frames.contiguous(), torch.ones_like(begun)
        return lead, (*going, *state[2 + self._encoded :])

    def start(self, noise: Tensor, features: dict[str, Tensor]) -> State:
        """Return the state before the first chunk."""
        first, _ = lead_in(self.metadata, features)
        return first_state(self.metadata, first, noise.shape[0])

    def whole(self, noise: Tensor, features: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Draw whole values by the model's own pass, and score them."""
        draw = self.model.draw(noise, features or None)
        return draw.x, draw.log_prob

    def trace(self) -> torch.export.ExportedProgram:
        """Trace into a program of any batch, and of any length where the data has none."""
        spec = self.metadata.spec
        batch = torch.export.Dim("batch")
        frames: Any = torch.export.Dim("frames")
        noise: dict[int, Any] = {0: batch}
        if self.metadata.streams:
            noise[1] = spec.hop * frames if spec.hop > 1 else frames
        features = {
            name: {0: batch, 1: frames} if name in self.metadata.frames else {0: batch}
            for name in spec.features
        }
        example = self.example(EXAMPLE_BATCH)
        with torch.no_grad():
            arguments = (*example, self.start(*example)[: len(self.metadata.graph_state)])
            state = tuple({0: batch} for _ in self.metadata.graph_state)
            program = torch.export.export(self, arguments, dynamic_shapes=(noise, features, state))
        for node in program.graph.nodes:  # Where the code lay is nobody's business.
            node.meta.pop("stack_trace", None)
        return program

    def example(
        self, batch: int, seed: int = 0, frames: int = EXAMPLE_FRAMES
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return noise and features of the right shapes and random values."""
        return example_inputs(self.metadata, batch, seed, frames, dtype_of(self.model))


@contextmanager
def _unsolved(model: nn.Module) -> Iterator[None]:
    """Let envelopes end in their autocorrelation."""
    envelopes = [module for module in model.modules() if isinstance(module, Envelope)]
    for envelope in envelopes:
        envelope.solves = False
    try:
        yield
    finally:
        for envelope in envelopes:
            envelope.solves = True


def example_inputs(
    metadata: Metadata, batch: int, seed: int, frames: int, dtype: torch.dtype
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return noise, and features of the size that `metadata` tells, at random."""
    spec, generator = metadata.spec, torch.Generator().manual_seed(seed)
    sites = spec.hop * frames if spec.sites is None else spec.sites
    noise = torch.randn(batch, sites, generator=generator, dtype=dtype)

    def value(feature: FeatureSpec) -> Tensor:
        if feature.kind == "label":
            return torch.randint(feature.size, (batch,), generator=generator)
        shape: tuple[int, ...] = (batch, feature.size)
        if feature.kind == "frames":
            shape = (batch, sites // spec.hop, feature.size)
        values = torch.randn(shape, generator=generator, dtype=dtype)
        if feature.scale:
            values = values * torch.tensor(feature.scale, dtype=dtype)
        return values + torch.tensor(feature.loc, dtype=dtype) if feature.loc else values

    features = {name: value(feature) for name, feature in spec.features.items()}
    if "f0" in features:
        log_f0, voicing = features["f0"].unbind(-1)
        features["f0"] = torch.stack([log_f0, (voicing > 0).to(dtype)], -1)
    if "phase" in features:
        # A phase of random numbers would be no phase: harmonics are its powers, and would explode.
        angle = torch.atan2(*features["phase"].unbind(-1))
        features["phase"] = torch.stack([angle.cos(), angle.sin()], -1)
    for name in metadata.optional:
        features[name][:, 1::3] = math.nan  # Some frames go without.
    return noise, features


def _encoder_states(model: Flow, metadata: Metadata) -> int:
    """Return how many tensors the encoder's state has."""
    return len(_model_state(model, metadata)) - model.bijector.state_size


def _model_state(model: Flow, metadata: Metadata) -> State:
    noise, features = example_inputs(metadata, 1, 0, EXAMPLE_FRAMES, dtype_of(model))
    with torch.no_grad():
        return model.start(noise, lead_in(metadata, features)[0])


def _layout(model: Flow, metadata: Metadata, encoded: int) -> tuple[StateSpec, ...]:
    """Name the tensors of the state: the first frames, the encoder's own, those of each flow."""
    if not metadata.streams:
        return ()
    state = _model_state(model, metadata)
    names = [f"encoder{i}" for i in range(encoded)]
    for i, layer in enumerate(getattr(model.bijector, "layers", [model.bijector])):
        if layer.state_size:
            own = [f"layer{j}" for j in range(layer.state_size - 1)]
            names += [f"flow{i}.{part}" for part in ["sites", *own]]
    if metadata.filter_order:
        names[-1] = FILTER.removeprefix("state.")
    specs = [_spec(name, value) for name, value in zip(names, state, strict=True)]
    if encoded:
        dtype = str(dtype_of(model)).removeprefix("torch.")
        shape = (max(1, metadata.latency), sum(metadata.frames.values()))
        specs = [StateSpec("state.frames", shape, dtype, "frames"), _BEGUN, *specs]
    return tuple(specs)


def _spec(name: str, value: Tensor) -> StateSpec:
    fill = "filter" if f"state.{name}" == FILTER else "zeros"
    dtype = str(value.dtype).removeprefix("torch.")
    return StateSpec(f"state.{name}", tuple(value.shape[1:]), dtype, fill)


def _fold(model: nn.Module) -> None:
    for module in model.modules():
        for name in list(getattr(module, "parametrizations", {})):
            nn.utils.parametrize.remove_parametrizations(module, name)


def check_names(features: Iterable[str]) -> None:
    """Raise if a feature is called as another input or output of a sampler is."""
    for name in features:
        if name in ("noise", "x", "log_prob") or name.startswith(("state.", "next.")):
            raise ValueError(
                f"export: a feature is called {name!r}, as an input or output of every exported "
                "graph is. Give it another name in the data, and train with that."
            )


def check_parallel(model: Flow) -> None:
    """Raise unless a model draws all sites at once."""
    if not isinstance(model, Flow):
        raise ValueError(
            f"export: wanted a flow, whose draws carry their log-prob; got {type(model).__name__}."
        )
    dtype = str(dtype_of(model)).removeprefix("torch.")
    if dtype not in ("float32", "float64"):
        raise ValueError(
            f"export: wanted a model in float32 or float64, got {dtype}. "
            "Export model.float(); export=pt2_bf16 writes its products in bfloat16."
        )
    for module in model.modules():
        if isinstance(module, Inverse) and isinstance(module.bijector, Autoregressive):
            raise ValueError(
                "export: wanted a flow that draws in parallel; this one (a MAF) draws site after "
                "site. Distill it into an IAF and export that."
            )
